"""Pictures of a data set: how often each class occurs, object sizes against anchors, sheets of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..data.check.anchors import MATCHING_IOU, AnchorGrid
from ..data.records import Record
from ..errors import UserError
from .draw import contact_sheet, draw_boxes, sheet_font
from .gallery import spread
from .plots import BLUE, MUTED, ORANGE, Canvas, PathLike

SAMPLES = 16
_CELL = (300, 400)
_MOST_CLASSES = 80
_MOST_POINTS = 4000


def plot_classes(counts: np.ndarray, classes: Sequence[str], png_path: PathLike) -> None:
    """Draws bars of how many objects each class has: the most frequent first, at most 80 of them."""
    order = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
    with Canvas(png_path, 7.4, 1.0 + 0.2 * len(order)) as figure:
        axis = figure.subplots()
        rows = np.arange(len(order))
        axis.barh(rows, counts[order], color=BLUE, height=0.75)
        for row, count in zip(rows, counts[order].tolist()):
            axis.text(count, row, f" {count}", va="center", fontsize=8, color=MUTED if count else ORANGE)
        names = [classes[k] if len(classes[k]) <= 24 else classes[k][:23] + "…" for k in order]
        axis.set_yticks(rows, names, fontsize=8)
        axis.set_ylim(len(order) - 0.4, -0.6)
        axis.set_xlim(0, 1.12 * max(1, counts.max()))
        axis.grid(False, axis="y")
        axis.tick_params(length=0)
        some = f" ({len(order)} of {len(classes)} classes)" if len(order) < len(classes) else ""
        axis.set_title(f"Objects per class{some}")


def plot_sizes(
    sides: np.ndarray,
    overlaps: np.ndarray,
    grids: Sequence[AnchorGrid],
    model: str,
    size: tuple[int, int],
    png_path: PathLike,
) -> None:
    """Draws widths against heights of objects (n, 2) and of the anchors, in pixels of the network's input."""
    chosen = np.arange(len(sides))
    if len(chosen) > _MOST_POINTS:
        # More points would only cover each other; the legend still counts all objects.
        chosen = np.random.default_rng(0).choice(len(sides), _MOST_POINTS, replace=False)
    covered = overlaps > MATCHING_IOU
    with Canvas(png_path, 6.6, 5.6) as figure:
        axis = figure.subplots()
        for mask, colour, text in ((covered, BLUE, "above"), (~covered, ORANGE, "at most")):
            points = sides[chosen[mask[chosen]]]
            label = f"best IoU {text} {MATCHING_IOU}: {mask.sum()} objects"
            axis.scatter(points[:, 0], points[:, 1], s=7, alpha=0.45, lw=0, color=colour, label=label)
        shapes = np.concatenate([grid.sizes for grid in grids]) * size[::-1]
        axis.scatter(shapes[:, 0], shapes[:, 1], marker="+", s=60, color="#222222", label="anchors")
        # Sizes span two orders of magnitude, and a constant ratio of the sides is a straight line.
        axis.set(xscale="log", yscale="log", xlabel="width", ylabel="height")
        ticks = [t for t in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if t <= max(size) * 1.5]
        for name in ("x", "y"):
            getattr(axis, f"set_{name}ticks")(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.set_aspect("equal")
        axis.set_title(f"Objects and anchors in pixels of the input of\n{model}")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), ncol=3, markerscale=1.5)


def annotated_sheet(records: Sequence[Record], classes: Sequence[str]) -> np.ndarray:
    """Returns up to 16 pictures with their boxes, spread over the records; RGB uint8.

    Records with objects come first.
    """
    pictures, captions = [], []
    for record in _samples(records):
        try:
            image = record.pixels()
        except UserError:
            continue
        scale = min(_CELL[0] / image.shape[0], _CELL[1] / image.shape[1], 1.0)
        small = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        # Shrunk before drawing, so that lines and labels keep their size.
        image = np.array(Image.fromarray(image).resize(small, Image.Resampling.LANCZOS))
        names = [
            classes[label] + (" (crowd)" if crowd else "")
            for label, crowd in zip(record.classes.tolist(), record.crowd.tolist())
        ]
        size = sheet_font(image, _CELL)
        boxes = record.boxes * scale
        pictures.append(draw_boxes(image, boxes, names, class_ids=record.classes, font_size=size))
        captions.append(record.path.name)
    return contact_sheet(pictures, columns=4, cell=_CELL, captions=captions)


def augmented_sheet(records: Sequence[Record], classes: Sequence[str], transform: Any) -> np.ndarray:
    """Returns the same pictures as training sees them, one draw of ``transform`` each; RGB uint8."""
    pictures, captions = [], []
    for number, record in enumerate(_samples(records)):
        out = transform.empty()
        try:
            boxes, labels = transform.load(record, np.random.default_rng([0, number]), out)
        except UserError:
            continue
        picture = transform.preprocess.restore(out)
        height, width = picture.shape[:2]
        names = [classes[label] for label in labels.tolist()]
        pixels = boxes * np.array([width, height, width, height])
        size = sheet_font(picture, _CELL)
        pictures.append(draw_boxes(picture, pixels, names, class_ids=labels, font_size=size))
        captions.append(record.path.name)
    return contact_sheet(pictures, columns=4, cell=_CELL, captions=captions)


def _samples(records: Sequence[Record]) -> list[Record]:
    with_objects = [record for record in records if len(record.boxes)]
    chosen: list[Record] = spread(with_objects, SAMPLES)
    without = [record for record in records if not len(record.boxes)]
    return chosen + without[: SAMPLES - len(chosen)]
