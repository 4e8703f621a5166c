"""COCO data sets: finding the files, checking them, and making records and ground truth of them."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, unknown
from ..files import as_path, similar
from .coco_json import NO_SIZE as NO_SIZE_GIVEN
from .coco_json import RESPELLED, UNSIZED_TURNED, CocoFile, read_coco
from .coco_layouts import ROBOFLOW, find_layout, image_folder
from .finder import Finder
from .images import PathLike, file_header
from .orientation import upright_size
from .records import Record
from .units import Doubt, doubts

NO_SIZE = "no width or height"
OUTSIDE = "outside the image"
OTHER_CLASS = "class not chosen"


# What to do where there are no validation images.
HOLD_OUT = (
    "hold some out by converting the labels into a new folder, gluon-ssd convert-data LABELS FOLDER "
    "--val-share 0.2, or train with --eval-every 0"
)


class NoSplit(UserError):
    """A data set lacks a split."""


def no_split(root: Path, split: str, known: Iterable[str]) -> NoSplit:
    """Returns the error for a data set that lacks a split; the caller raises it."""
    advice = f"; {HOLD_OUT}" if split == "val" else ""
    return NoSplit(f"{root}: has no split '{split}', only {', '.join(known)}{advice}")


def locate_annotation(root: PathLike, split: str, annotation: PathLike | None = None) -> Path:
    """Returns the annotation file of a COCO split. Raises UserError when there is none."""
    base = as_path(root)
    if not base.exists():
        raise UserError(
            f"data folder {base} does not exist"
            f"{similar(base) or '; give the folder that holds annotations/ and the images'}"
        )
    file = _given(base, annotation) or find_layout(base).files.get(split)
    if file is None:
        raise UserError(f"{base}: no COCO annotation file for split '{split}' (or give 'annotation')")
    if not file.is_file():
        raise UserError(f"{file}: an annotation file is expected here; check the path")
    return file


def locate_images(root: PathLike, split: str, file: CocoFile, images: PathLike | None = None) -> Path:
    """Returns the folder that the file names of ``file`` start from. Raises UserError when it is missing."""
    folder = _given(as_path(root), images)
    if folder is None:
        return image_folder(as_path(root), split, file.path, file.file_names)
    if not folder.is_dir():
        raise UserError(f"{folder}: a folder of images is expected here; check the path")
    return folder


def named_path(base: Path, given: PathLike) -> Path:
    """Returns the path that ``given`` means for a data set in ``base``.

    It is looked for from the current folder first, then from ``base``.
    """
    path = as_path(given)
    return path if path.is_absolute() or path.exists() else base / path


def _given(base: Path, given: PathLike | None) -> Path | None:
    return None if given is None else named_path(base, given)


def has_split(root: Path, split: str) -> bool:
    """Returns whether there is a COCO annotation file for this split."""
    return split in find_layout(root).files


class CocoDataset:
    """A checked COCO data set.

    ``classes`` and ``category_ids`` are in the same order: by ascending id unless the caller chose the
    classes. ``records`` has one Record per image of the file, in the file's order, with boxes clipped to the
    image. ``dropped`` counts the boxes that were left out, by reason: without width or height, wholly outside
    the image, of a class that was not chosen. ``clipped`` counts those that reached over the border by more
    than a pixel. ``lines`` are sentences for the user about what was taken otherwise than it stands in the
    file.

    Raises UserError for a file that is not sound COCO or names missing images.
    """

    def __init__(
        self, annotation: PathLike, images_dir: PathLike, classes: Sequence[str] | None = None, **choice: Any
    ) -> None:
        self._open(read_coco(Path(annotation)), Path(images_dir), (), classes=classes, **choice)

    @classmethod
    def of(cls, file: CocoFile, images_dir: Path, lines: Sequence[str] = (), **choice: Any) -> CocoDataset:
        """Opens what `read_coco` has read. ``lines`` are for the user; for ``choice`` see `open_dataset`."""
        made = cls.__new__(cls)
        made._open(file, images_dir, lines, **choice)
        return made

    def _open(self, file: CocoFile, images_dir: Path, lines: Sequence[str], **choice: Any) -> None:
        settled = settle(file, images_dir, choice.get("orientation", "auto"))
        self._set_up(settled, images_dir, lines=lines, **choice)
        _refuse_missing(self._file, self.images_dir)
        _refuse_misread(self._file)

    def _set_up(
        self,
        file: CocoFile,
        images_dir: Path,
        classes: Sequence[str] | None = None,
        orientation: str = "auto",
        absent_ok: bool = False,
        lines: Sequence[str] = (),
    ) -> None:
        self.annotation, self.images_dir, self._file = file.path, images_dir, file
        self.classes, self.category_ids, self._class_of = _choose_classes(file, classes, absent_ok)
        self.records, self.dropped, self.clipped = make_records(file, images_dir, self._class_of, orientation)
        absent = [name for name in self.classes if name not in file.names]
        told = [f"{file.path}: {count} {what}" for what, count in file.notes.items()]
        told += [f"{file.path}: has no class {name!r}" for name in absent]
        doubtful = [f"warning: {file.path}: {doubt}" for doubt in misread(file) if not doubt.error]
        self.lines = [*lines, *told, *doubtful]

    @property
    def file(self) -> CocoFile:
        """The annotations, of all classes."""
        return self._file

    def __len__(self) -> int:
        return len(self.records)

    def coco_gt(self) -> Any:
        """Returns the ground truth as a ``pycocotools.coco.COCO``.

        It holds every image, and every annotation of the chosen classes as the file has it, including crowd
        regions and boxes that training drops, so that mAP is what pycocotools computes from the file itself.
        """
        return make_truth(self.coco_content())

    def coco_content(self) -> dict[str, list[dict[str, Any]]]:
        """Returns 'images', 'annotations' and 'categories' as a COCO file has them, for the chosen classes.

        Every image and every annotation of those classes is there, in the file's order. What detection does
        not use (segmentations, licences, supercategories) is left out. Annotation ids count from 1 where the
        file has lower ones.
        """
        return {
            "images": self._image_rows(),
            "annotations": self._annotation_rows(),
            "categories": [{"id": k, "name": name} for k, name in zip(self.category_ids, self.classes)],
        }

    def _image_rows(self) -> list[dict[str, Any]]:
        file = self._file
        columns = (file.image_ids.tolist(), file.file_names, file.widths.tolist(), file.heights.tolist())
        rows = [{"id": k, "file_name": n, "width": w, "height": h} for k, n, w, h in zip(*columns)]
        for row, record in zip(rows, self.records):
            if record.orientation != "auto":
                row["orientation"] = record.orientation
        return rows

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
    """Returns 'images', 'annotations' and 'categories' as a ``pycocotools.coco.COCO``; nothing is printed."""
    from pycocotools.coco import COCO

    truth = COCO()
    truth.dataset = {"info": {}, "licenses": [], **content}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def settle(file: CocoFile, images_dir: Path, orientation: str = "auto") -> CocoFile:
    """Returns ``file`` with image names as they are spelt on disk, and missing sizes read from the images.

    These are of the picture as stored where ``orientation`` is that, else of the upright picture, which is
    what labelling tools show. Both changes are counted in its notes. Raises UserError where several images
    could be meant, or where a size cannot be read.
    """
    names = _spelt_as_found(file, images_dir)
    other = sum(name != old for name, old in zip(names, file.file_names))
    notes = file.notes + Counter({RESPELLED: other})
    widths, heights = file.widths.copy(), file.heights.copy()
    unknown_sizes = np.flatnonzero((widths == 0) | (heights == 0)).tolist()
    turned = dict(file.orientations)
    for index in unknown_sizes:
        path = images_dir / names[index]
        # Pathlib's own question raises OSError for a name that is too long for any file.
        if os.path.exists(path):
            header = file_header(path)
            assumed = header.orientation != 1 and orientation == "auto" and index not in turned
            notes[UNSIZED_TURNED] += assumed
            way = turned.setdefault(index, "stored" if orientation == "stored" else "upright")
            widths[index], heights[index] = header.size if way == "stored" else upright_size(header)
    notes += Counter({NO_SIZE_GIVEN: len(unknown_sizes)})
    return replace(file, file_names=names, widths=widths, heights=heights, orientations=turned, notes=notes)


def _spelt_as_found(file: CocoFile, images_dir: Path) -> list[str]:
    """The names of the images seen from ``images_dir``; those of missing images stay as they are."""
    finder = Finder([images_dir], images_dir)
    # In the usual case all names are right, and the whole folder need not be walked.
    if all(finder.exact(name) is not None for name in file.file_names):
        return file.file_names
    names = []
    for name in file.file_names:
        found = finder.find(name)
        names.append(name if found is None else os.path.relpath(found[0], images_dir) if found[1] else name)
    return names


def misread(file: CocoFile) -> list[Doubt]:
    """Returns the doubts that the boxes of a file are what COCO's boxes are, xywh in pixels."""
    known = (file.widths > 0) & (file.heights > 0)
    rows = known[file.image_index] & (file.xywh[:, 2:] > 0).all(axis=1)
    sizes = np.stack([file.widths, file.heights], axis=1)[file.image_index]
    return doubts(file.xywh[rows], sizes[rows], "xywh")


def _refuse_misread(file: CocoFile) -> None:
    for doubt in misread(file):
        if doubt.error:
            raise UserError(f"{file.path}: {doubt}")


def _choose_classes(
    file: CocoFile, classes: Sequence[str] | None, absent_ok: bool = False
) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray]:
    """Names and category ids of the classes, and the class index of each category, -1 if not chosen."""
    chosen = tuple(class_names(file) if classes is None else classes)
    if not chosen:
        raise UserError(f"{file.path}: 'classes' is empty; name at least one class or leave it out")
    # A file that shares no class with the training belongs to another data set, even if classes may be
    # absent.
    absent_ok = absent_ok and not set(chosen).isdisjoint(file.names)
    class_of = np.full(len(file.names), -1, np.int64)
    row_of = {name: row for row, name in enumerate(file.names)}
    # An absent class needs an id that no category has, so that its detections are not taken for another's.
    unused_ids = itertools.count(max(file.category_ids) + 1)
    ids: list[int] = []
    for index, (name, times) in enumerate(Counter(chosen).items()):
        if times > 1:
            raise UserError(f"class '{name}' is named more than once in 'classes'; name each once")
        if name in row_of:
            class_of[row_of[name]] = index
            ids.append(file.category_ids[row_of[name]])
        elif absent_ok:
            ids.append(next(unused_ids))
        else:
            raise UserError(f"{file.path}: {unknown('class', name, file.names)}")
    return chosen, tuple(ids), class_of


def class_names(file: CocoFile) -> list[str]:
    """Returns the names of the categories that are classes, by ascending id."""
    unused = set(unused_parents(file))
    return [name for name in file.names if name not in unused]


def unused_parents(file: CocoFile) -> list[str]:
    """Returns the names of categories that stand for a group of others and have no box; they are no classes.

    Roboflow writes such a category, with the id 0 and the name of the project.
    """
    used = np.bincount(file.category_index, minlength=len(file.names))
    roboflow = file.path.name == ROBOFLOW and len(file.names) > 1
    return [
        name
        for name, own_id, count in zip(file.names, file.category_ids, used.tolist())
        if not count and (name in file.supercategories or (roboflow and own_id == 0))
    ]


def _refuse_missing(file: CocoFile, images_dir: Path) -> None:
    finder = Finder([images_dir], images_dir)
    missing = [name for name in file.file_names if finder.exact(name) is None]
    if missing:
        first = ", ".join(str(images_dir / name) for name in missing[:3])
        raise UserError(
            f"{len(missing)} of {len(file.file_names)} images named by {file.path} are missing "
            f"({first}{', ...' if len(missing) > 3 else ''}); complete the download or correct 'file_name' "
            "(gluon-ssd check DATA lists all)"
        )


def make_records(
    file: CocoFile, images_dir: Path, class_of: np.ndarray, orientation: str = "auto"
) -> tuple[list[Record], dict[str, int], int]:
    """Returns one Record per image of ``file``, the boxes left out by reason, and how many were clipped.

    What is left out and clipped is described at `CocoDataset`. ``class_of`` int64 (categories,) is the class
    index of each category of the file, -1 for one that was not chosen. ``orientation`` is for pictures of
    which the file does not say which way they are up; see `turn_for`.
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

    # A stable sort groups the annotations by image and keeps the file's order within each.
    order = np.flatnonzero(kept)
    order = order[np.argsort(file.image_index[order], kind="stable")]
    # The annotations of image k are now bounds[k] to bounds[k + 1]: one slice per image, without a search.
    bounds = np.searchsorted(file.image_index[order], np.arange(len(file.image_ids) + 1)).tolist()
    boxes, labels, crowd = boxes[order], classes[order].astype(np.int32), file.crowd[order]
    columns = zip(file.image_ids.tolist(), file.file_names, file.widths.tolist(), file.heights.tolist())
    records = []
    for index, ((image_id, name, width, height), start, stop) in enumerate(zip(columns, bounds, bounds[1:])):
        rows = slice(start, stop)
        objects = boxes[rows], labels[rows], crowd[rows]
        way = file.orientations.get(index, orientation)
        records.append(Record(image_id, images_dir / name, width, height, *objects, None, way))
    return records, {reason: count for reason, count in counts.items() if count}, clipped


def fit_boxes(file: CocoFile) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Clips every annotation's box to its image.

    Returns the boxes, float32 (m, 4) ltrb pixels, and three bool arrays (m,): whether the file gives the box
    a width and a height, whether any part of it is inside the image, and whether it reached over the border
    by more than a pixel.
    """
    limits = np.stack([file.widths, file.heights] * 2, axis=1)[file.image_index].astype(np.float64)
    exact = np.concatenate([file.xywh[:, :2], file.xywh[:, :2] + file.xywh[:, 2:]], axis=1)
    boxes = np.clip(exact, 0, limits).astype(np.float32)
    sized = np.all(file.xywh[:, 2:] > 0, axis=1)
    # A box that lies outside has been clipped to a line or a point on the border.
    inside = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    return boxes, sized, inside, np.any(np.abs(boxes - exact) > 1, axis=1)
