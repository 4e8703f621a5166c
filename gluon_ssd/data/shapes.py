"""A generated detection data set in COCO format: textured shapes on cluttered backgrounds, no download.

    root/annotations/instances_train.json, instances_val.json
    root/train/*.jpg, root/val/*.jpg
    root/shapes.json          the parameters it was made with

Each image has up to seven objects, and a few images have none on purpose. An object's longer side is at least
9% of the image's longer side and at most 60% of its shorter one. Objects overlap and may leave the image, but
at least 40% of each stays visible. Boxes cover the full extent of an object, hidden parts included, clipped
to the image; `area` counts the pixels of that extent that the shape fills. The files are byte-identical for
the same parameters and the same versions of NumPy and OpenCV.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import UserError
from ..files import beside
from ..folders import partial_folder
from . import shape_art as art

SHAPES = tuple(art.OUTLINES)
JPEG_QUALITY = 90
SMALLEST, LARGEST = 0.12, 0.6
LEAST_VISIBLE = 0.5
# Objects stand within 22 degrees of upright, as most things in photographs do.
TILT = np.pi / 8
# Part of the recorded parameters. It is raised whenever the pictures change, so that older data sets are made
# again.
GENERATOR = 2
_SPLITS = ("train", "val")
_OWN = {"annotations", "train", "val", "shapes.json"}


def make_shapes(
    root: str | Path, train: int = 400, val: int = 100, size: tuple[int, int] = (240, 320), seed: int = 0
) -> Path:
    """Writes the data set to `root`, or reuses what an earlier call with the same parameters left there.

    `size` is (height, width) in pixels; each image varies by up to 20% around it, and one in four is turned
    upright. A data set of other parameters in `root` is replaced. `root` appears complete or not at all.

    Returns `root` as an absolute path. Raises UserError for parameters out of range, and where `root` holds
    anything that this function did not write or cannot be written.
    """
    root = Path(os.path.realpath(root))
    parameters = _checked(train, val, size, seed)
    if _reusable(root, parameters):
        return root
    try:
        _refuse_foreign(root)
        root.parent.mkdir(parents=True, exist_ok=True)
        with partial_folder(root) as partial:
            (partial / "annotations").mkdir()
            # A seed of its own for each split: more training images do not change the validation set.
            for index, split in enumerate(_SPLITS):
                _write_split(partial, split, parameters[split], size, np.random.SeedSequence([seed, index]))
            (partial / "shapes.json").write_text(json.dumps(parameters, indent=1) + "\n", encoding="utf-8")
            _publish(partial, root, parameters)
    except OSError as error:
        raise UserError(f"cannot write the shapes data set to {root}: {error.strerror or error}") from error
    return root


def _checked(train: int, val: int, size: tuple[int, int], seed: int) -> dict[str, Any]:
    height, width = (int(v) for v in size)
    if train < 1 or val < 1:
        raise UserError(f"shapes: train and val must be at least 1 image each, got train={train}, val={val}")
    if min(height, width) < 64 or max(height, width) > 4096:
        raise UserError(f"shapes: size must be (height, width) within 64..4096 pixels, got {tuple(size)}")
    if seed < 0:
        raise UserError(f"shapes: seed must not be negative, got {seed}")
    return {
        "generator": GENERATOR,
        "train": int(train),
        "val": int(val),
        "size": [height, width],
        "seed": int(seed),
    }


def _recorded(root: Path) -> dict[str, Any] | None:
    try:
        return json.loads((root / "shapes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _reusable(root: Path, parameters: dict[str, Any]) -> bool:
    return _recorded(root) == parameters and all(
        (root / "annotations" / f"instances_{split}.json").is_file()
        and sum(1 for _ in (root / split).glob("*.jpg")) == parameters[split]
        for split in _SPLITS
    )


def _refuse_foreign(root: Path) -> None:
    """Raises UserError unless the folder, which will be deleted, holds nothing but an earlier data set."""
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is a file; the shapes data set needs a folder")
    found = {entry.name for entry in root.iterdir()} if root.is_dir() else set()
    foreign = found - _OWN if "shapes.json" in found else found
    if foreign:
        raise UserError(
            f"{root} holds files of someone else ({min(foreign)!r}); name an empty or a new folder"
        )


def _publish(partial: Path, root: Path, parameters: dict[str, Any]) -> None:
    # A name that the next call clears away, should this one be killed.
    old = beside(root, "partial")
    if root.is_dir():  # also an empty one, which Windows does not replace
        os.replace(root, old)
    try:
        os.replace(partial, root)
    except OSError:
        # Another process may have finished the same data set first.
        if not _reusable(root, parameters):
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write_split(
    root: Path, split: str, count: int, size: tuple[int, int], seeds: np.random.SeedSequence
) -> None:
    (root / split).mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    empty = _empty_images(count, np.random.default_rng(seeds))
    # A generator for each image makes it independent of how much randomness the images before it used.
    for index, child in enumerate(seeds.spawn(count)):
        picture, objects = make_picture(np.random.default_rng(child), size, empty=index in empty)
        image_id, name = index + 1, f"{index + 1:06d}.jpg"
        _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (root / split / name).write_bytes(encoded.tobytes())
        height, width = picture.shape[:2]
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for thing in objects:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, "iscrowd": 0, **thing})
    content = {
        "info": {"description": "gluon_ssd generated shapes", "version": str(GENERATOR)},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": i + 1, "name": name, "supercategory": "shape"} for i, name in enumerate(SHAPES)
        ],
    }
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content), encoding="utf-8")


def _empty_images(count: int, rng: np.random.Generator) -> set:
    """Indices of the images without objects: one in a hundred, at least two, but none in a tiny set."""
    amount = max(2, count // 100) if count >= 10 else 0
    return {int(i) for i in rng.choice(count, amount, replace=False)}


def make_picture(
    rng: np.random.Generator, size: tuple[int, int] = (240, 320), empty: bool = False
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Makes one picture and its objects.

    Returns RGB uint8 (h, w, 3) and a list of dicts with COCO's `category_id` (1-based), `bbox` (xywh pixels),
    `area` (pixels) and `segmentation` (always empty: this is a data set of boxes).
    """
    height, width = (int(round(v * rng.uniform(0.8, 1.2))) for v in size)
    if rng.random() < 0.25:
        height, width = width, height
    canvas = art.background(rng, height, width)
    art.clutter(rng, canvas)
    scene = _Scene(height, width, most_hidden=float(rng.choice([0.05, 0.15, 0.3, 1 - LEAST_VISIBLE])))
    for _ in range(0 if empty else rng.integers(1, 8)):
        _place(rng, canvas, scene)
    return art.grain(rng, canvas), scene.objects


class _Scene:
    """Keeps track of what hides what.

    `owner` (h, w) holds 1 + the index of the topmost object at each pixel, 0 where there is none.
    """

    def __init__(self, height: int, width: int, most_hidden: float) -> None:
        self.owner = np.zeros((height, width), np.uint8)
        self.full = np.zeros(0)
        self.most_hidden = most_hidden
        self.objects: list[dict[str, Any]] = []

    def try_add(self, patch: art.Patch, category_id: int) -> bool:
        """Adds an object on top, unless it or one below would be hidden too much.

        Returns whether it was added.
        """
        on_canvas, on_patch = art.windows(patch, self.owner.shape)
        solid = patch.alpha >= 128
        mask = solid[on_patch]
        # All of the object counts, so that parts outside the image are hidden ones too.
        full = np.append(self.full, solid.sum())
        # Tried out on a copy: the scene stays as it is when the object does not fit.
        owner = self.owner.copy()
        owner[on_canvas][mask] = len(full)
        visible = np.bincount(owner.ravel(), minlength=len(full) + 1)[1:]
        if (visible < (1 - self.most_hidden) * full).any():
            return False
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = on_canvas[1].start + columns[0], on_canvas[0].start + rows[0]
        box = [int(left), int(top), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]
        self.owner, self.full = owner, full
        self.objects.append(
            {"category_id": category_id, "bbox": box, "area": int(mask.sum()), "segmentation": []}
        )
        return True


def _place(rng: np.random.Generator, canvas: np.ndarray, scene: _Scene, tries: int = 12) -> None:
    """Puts one object of a random class somewhere it fits, or none where the picture is too crowded."""
    height, width = canvas.shape[:2]
    kind = int(rng.integers(len(SHAPES)))
    smallest = SMALLEST * max(height, width) + 1
    largest = LARGEST * min(height, width)
    for _ in range(tries):
        # Uniform in the logarithm, so that small objects are as frequent as large ones.
        diameter = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
        centre = (rng.uniform(0, width), rng.uniform(0, height))
        outline = art.fit(
            art.OUTLINES[SHAPES[kind]](), diameter, rng.uniform(-TILT, TILT), rng.uniform(0.85, 1.15), centre
        )
        patch = art.rasterise(outline)
        if scene.try_add(patch, kind + 1):
            art.paint(rng, canvas, patch, diameter, art.STYLES[SHAPES[kind]])
            return
