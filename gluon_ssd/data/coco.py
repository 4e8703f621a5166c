"""COCO data sets: finding the files, checking them, records and ground truth."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path, PurePosixPath
from typing import Any, Sequence

import numpy as np

from gluon_ssd.data.coco_json import CocoFile, read_coco
from gluon_ssd.data.images import PathLike, as_path
from gluon_ssd.data.record_files.manifest import holds_records
from gluon_ssd.data.records import Record
from gluon_ssd.errors import UserError, unknown

_ANNOTATIONS = (
    "annotations/bbox_only_instances_{}2017.json",
    "annotations/instances_{}2017.json",
    "annotations/instances_{}.json",
    "annotations/{}.json",
)
_IMAGES = ("{}2017", "{}", "images/{}2017", "images/{}")
# The published layout of MLPerf's OpenImages: {split}/labels/ and {split}/data/.
_OPENIMAGES = "openimages-mlperf.json"
_OPENIMAGES_SPLITS = {"train": "train", "val": "validation"}

_OTHER_FORMATS = "; for labels of another format see gluon-ssd convert-data"

NO_SIZE = "no width or height"
OUTSIDE = "outside the image"
OTHER_CLASS = "class not chosen"


def open_dataset(
    root: PathLike,
    split: str = "train",
    annotation: PathLike | None = None,
    images: PathLike | None = None,
    classes: Sequence[str] | None = None,
) -> CocoDataset:
    """Open a data set in COCO's format, or one that was packed into record files.

    Looks for ``root/annotations/[bbox_only_]instances_{split}2017.json`` with ``root/{split}2017``, then for
    ``root/annotations/[instances_]{split}.json`` with ``root/{split}`` or ``root/images/{split}``; before
    both, for MLPerf's ``root/{train,validation}/labels/openimages-mlperf.json`` with ``data/`` beside
    ``labels/``. ``annotation`` and ``images`` name the file and the folder instead. Where neither is named
    and ``root`` holds record files, these are opened. ``classes`` restricts the data set to these class
    names, in this order. Raises UserError when something is missing or wrong.
    """
    if annotation is None and images is None and holds_records(as_path(root), split):
        # Here, because a packed data set is a CocoDataset.
        from gluon_ssd.data.record_files.dataset import PackedDataset

        return PackedDataset(as_path(root), split, classes)
    return CocoDataset(*locate_dataset(root, split, annotation, images), classes)


def locate_dataset(
    root: PathLike, split: str, annotation: PathLike | None = None, images: PathLike | None = None
) -> tuple[Path, Path]:
    """Return the annotation file and the image folder of a split, found as `open_dataset` says."""
    base = as_path(root)
    if not base.is_dir():
        raise UserError(
            f"data folder {base} does not exist; give the folder that holds annotations/ and the images"
        )
    if annotation is None and images is None:
        annotation, images = _find_openimages(base, split)
    file = _find(base, split, annotation, _ANNOTATIONS, "annotation file", "annotation")
    if not file.is_file():
        raise UserError(f"{file}: an annotation file is expected here; check the path")
    folder = _find(base, split, images, _IMAGES, "image folder", "images")
    if not folder.is_dir():
        raise UserError(f"{folder}: a folder of images is expected here; check the path")
    return file, folder


class CocoDataset:
    """A checked COCO data set.

    ``classes`` and ``category_ids`` are in the same order, by ascending id unless chosen by the caller.
    ``records`` has one Record per image of the file, in its order, with boxes clipped to the image.
    ``dropped`` counts the boxes left out by reason: without width or height, wholly outside the image, of a
    class not chosen; ``clipped`` counts those that reached over the border by more than a pixel.
    Raises UserError for a file that is not sound COCO or names missing images.
    """

    def __init__(
        self, annotation: PathLike, images_dir: PathLike, classes: Sequence[str] | None = None
    ) -> None:
        self._set_up(read_coco(Path(annotation)), Path(images_dir), classes)
        _refuse_missing(self._file, self.images_dir)

    def _set_up(self, file: CocoFile, images_dir: Path, classes: Sequence[str] | None) -> None:
        self.annotation, self.images_dir, self._file = file.path, images_dir, file
        self.classes, self.category_ids, self._class_of = _choose_classes(file, classes)
        self.records, self.dropped, self.clipped = make_records(file, images_dir, self._class_of)

    def __len__(self) -> int:
        return len(self.records)

    def coco_gt(self) -> Any:
        """Return the truth as a ``pycocotools.coco.COCO``.

        Holds every image and every annotation of the chosen classes as the file has them, crowd regions and
        boxes that training drops included, so that mAP is what pycocotools computes from the file itself.
        """
        return make_truth(self.coco_content())

    def coco_content(self) -> dict[str, list[dict[str, Any]]]:
        """Return 'images', 'annotations' and 'categories' as a COCO file has them, for the chosen classes.

        Every image and every annotation of those classes is there, in the file's order; of what detection
        does not use (segmentations, licences, supercategories) nothing is. Annotation ids count from 1 where
        the file has lower ones.
        """
        return {
            "images": self._image_rows(),
            "annotations": self._annotation_rows(),
            "categories": [{"id": k, "name": name} for k, name in zip(self.category_ids, self.classes)],
        }

    def _image_rows(self) -> list[dict[str, Any]]:
        file = self._file
        columns = (file.image_ids.tolist(), file.file_names, file.widths.tolist(), file.heights.tolist())
        return [{"id": k, "file_name": n, "width": w, "height": h} for k, n, w, h in zip(*columns)]

    def _annotation_rows(self) -> list[dict[str, Any]]:
        file = self._file
        keep = np.flatnonzero(self._class_of[file.category_index] >= 0)
        ids = file.ids
        if len(ids) and ids.min() <= 0:
            # pycocotools marks an unmatched object by 0, so an annotation with that id could never be found.
            ids = ids - ids.min() + 1
        columns = (
            ids[keep].tolist(),
            file.image_ids[file.image_index[keep]].tolist(),
            np.array(file.category_ids)[file.category_index[keep]].tolist(),
            file.xywh[keep].tolist(),
            file.area[keep].tolist(),
            file.crowd[keep].astype(int).tolist(),
        )
        keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
        return [dict(zip(keys, row)) for row in zip(*columns)]


def make_truth(content: dict[str, list[dict[str, Any]]]) -> Any:
    """Return 'images', 'annotations' and 'categories' as a ``pycocotools.coco.COCO``, without printing."""
    from pycocotools.coco import COCO

    truth = COCO()
    truth.dataset = {"info": {}, "licenses": [], **content}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def has_split(root: Path, split: str) -> bool:
    """Whether ``open_dataset`` would find an annotation file for this split."""
    found = [_find_openimages(root, split)[0], *(root / name.format(split) for name in _ANNOTATIONS)]
    return any(path is not None and path.is_file() for path in found)


def _find_openimages(base: Path, split: str) -> tuple[Path | None, Path | None]:
    folder = base / _OPENIMAGES_SPLITS.get(split, split)
    file = folder / "labels" / _OPENIMAGES
    return (file, folder / "data") if file.is_file() else (None, None)


def named_path(base: Path, given: PathLike) -> Path:
    """Return what ``given`` means for a data set in ``base``: seen from the current folder, else from it."""
    path = as_path(given)
    return path if path.is_absolute() or path.exists() else base / path


def _find(
    base: Path, split: str, given: PathLike | None, patterns: Sequence[str], what: str, field: str
) -> Path:
    if given is not None:
        return named_path(base, given)
    candidates = [pattern.format(split) for pattern in patterns]
    for candidate in candidates:
        if (base / candidate).exists():
            return base / candidate
    raise UserError(
        f"{base}: no {what} for split '{split}'; looked for {', '.join(candidates)} (or give '{field}')"
        f"{_OTHER_FORMATS if field == 'annotation' else ''}"
    )


def _choose_classes(
    file: CocoFile, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray]:
    """Names, category ids, and the class index of each category of the file (-1: not chosen)."""
    chosen = file.names if classes is None else tuple(classes)
    if not chosen:
        raise UserError(f"{file.path}: 'classes' is empty; name at least one class or leave it out")
    positions = []
    for name in chosen:
        if name not in file.names:
            raise UserError(f"{file.path}: {unknown('class', name, file.names)}")
        if chosen.count(name) > 1:
            raise UserError(f"class '{name}' is named more than once in 'classes'; name each once")
        positions.append(file.names.index(name))
    class_of = np.full(len(file.names), -1, np.int64)
    class_of[positions] = np.arange(len(positions))
    return chosen, tuple(file.category_ids[k] for k in positions), class_of


def _refuse_missing(file: CocoFile, images_dir: Path) -> None:
    """List each folder once: a stat per image would take minutes on a network disk."""
    listings: dict[str, set[str]] = {}
    missing: list[str] = []
    for name in file.file_names:
        folder, _, leaf = name.rpartition("/")
        if folder not in listings:
            listings[folder] = _files_in(images_dir / PurePosixPath(folder))
        if leaf not in listings[folder]:
            missing.append(name)
    if missing:
        first = ", ".join(str(images_dir / name) for name in missing[:3])
        raise UserError(
            f"{len(missing)} of {len(file.file_names)} images named by {file.path} are missing "
            f"({first}{', ...' if len(missing) > 3 else ''}); complete the download or correct 'file_name' "
            "(gluon-ssd check DATA lists all)"
        )


def _files_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def make_records(
    file: CocoFile, images_dir: Path, class_of: np.ndarray
) -> tuple[list[Record], dict[str, int], int]:
    """One Record per image of ``file`` as `CocoDataset` says, boxes left out by reason, boxes clipped.

    ``class_of`` int64 (categories,): the class index of each category of the file, -1 for one not chosen.
    """
    classes = class_of[file.category_index]
    boxes, sized, inside, over = fit_boxes(file)
    chosen = classes >= 0
    kept = chosen & sized & inside
    counts = {
        NO_SIZE: int((chosen & ~sized).sum()),
        OUTSIDE: int((chosen & sized & ~inside).sum()),
        OTHER_CLASS: int((~chosen).sum()),
    }
    clipped = int((kept & over).sum())

    # Stable, so that the objects of an image keep the file's order.
    order = np.flatnonzero(kept)
    order = order[np.argsort(file.image_index[order], kind="stable")]
    bounds = np.searchsorted(file.image_index[order], np.arange(len(file.image_ids) + 1)).tolist()
    boxes, labels, crowd = boxes[order], classes[order].astype(np.int32), file.crowd[order]
    columns = zip(file.image_ids.tolist(), file.file_names, file.widths.tolist(), file.heights.tolist())
    records = []
    for (image_id, name, width, height), start, stop in zip(columns, bounds, bounds[1:]):
        rows = slice(start, stop)
        records.append(
            Record(image_id, images_dir / name, width, height, boxes[rows], labels[rows], crowd[rows])
        )
    return records, {reason: count for reason, count in counts.items() if count}, clipped


def fit_boxes(file: CocoFile) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Clip every annotation's box to its image.

    Returns the boxes, float32 (m, 4) ltrb pixels, and three bool (m,): whether the file gives the box a width
    and a height, whether anything of it is inside the image, whether it reached over by more than a pixel.
    """
    limits = np.stack([file.widths, file.heights] * 2, axis=1)[file.image_index].astype(np.float64)
    exact = np.concatenate([file.xywh[:, :2], file.xywh[:, :2] + file.xywh[:, 2:]], axis=1)
    boxes = np.clip(exact, 0, limits).astype(np.float32)
    sized = np.all(file.xywh[:, 2:] > 0, axis=1)
    inside = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    return boxes, sized, inside, np.any(np.abs(boxes - exact) > 1, axis=1)
