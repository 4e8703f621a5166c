"""Draws the figures of the documentation, from made-up pictures: `python docs/make_figures.py`.

It needs no network and no MXNet, and draws the same pictures each time.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from gluon_ssd.anchors import SSD300_COCO, DefaultBoxes  # noqa: E402
from gluon_ssd.boxes import coco_to_ltrb, xywh_to_ltrb  # noqa: E402
from gluon_ssd.data.shapes import make_picture  # noqa: E402
from gluon_ssd.report.draw import draw_boxes, side_by_side  # noqa: E402
from gluon_ssd.targets import SSDTargetEncoder  # noqa: E402

# A picture with few objects, of different sizes.
SEED = 4
# Few colours keep a PNG of a noisy picture small.
COLOURS = 48


def matching(anchors: DefaultBoxes = SSD300_COCO, seed: int = SEED) -> np.ndarray:
    """Returns a picture with its objects, and beside it the default boxes that take them, uint8 RGB."""
    picture, objects = make_picture(np.random.default_rng(seed))
    height, width = picture.shape[:2]
    limits = np.array([width, height, width, height], np.float32)
    truth = coco_to_ltrb(np.array([each["bbox"] for each in objects], np.float32))
    rows = SSDTargetEncoder(anchors.xywh()).match(
        (truth / limits)[None], np.zeros((1, len(truth)), np.int32)
    )[0]
    taken = xywh_to_ltrb(anchors.xywh()[rows >= 0]) * limits
    return side_by_side(
        draw_boxes(picture, truth, class_ids=np.arange(len(truth)), scale=2),
        draw_boxes(picture, taken, class_ids=rows[rows >= 0], scale=2, line_width=1),
        (f"{len(truth)} objects", f"{len(taken)} of {len(rows):,} default boxes"),
    )


def cells(anchors: DefaultBoxes = SSD300_COCO, seed: int = SEED) -> np.ndarray:
    """Returns a picture with the default boxes of one cell of a fine and of a coarse map, uint8 RGB."""
    picture, _ = make_picture(np.random.default_rng(seed))
    height, width = picture.shape[:2]
    sheets, starts = [], np.cumsum([0, *(s * s * n for s, n in zip(anchors.map_sizes, anchors.per_cell))])
    for level in (2, 4):
        size, count = anchors.map_sizes[level], anchors.per_cell[level]
        first = starts[level] + (size // 2 * size + size // 2) * count
        boxes = xywh_to_ltrb(anchors.xywh()[first : first + count]) * [width, height, width, height]
        sheets.append(draw_boxes(picture, boxes, class_ids=np.arange(count), scale=2, line_width=2))
    sizes = [anchors.map_sizes[level] for level in (2, 4)]
    return side_by_side(sheets[0], sheets[1], tuple(f"one cell of the {s}x{s} map" for s in sizes))


FIGURES = {"matching.png": matching, "cells.png": cells}


def drawn(name: str) -> bytes:
    """Returns a figure as a PNG of few colours, 900 pixels wide."""
    image = Image.fromarray(FIGURES[name]())
    image = image.resize((900, round(900 * image.height / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Writes the figures into docs/images."""
    for name in FIGURES:
        path = REPOSITORY / "docs" / "images" / name
        path.write_bytes(drawn(name))
        print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
