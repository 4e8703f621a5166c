"""YOLO's label files: one per image, and in it one line per object with class index and box.

Boxes are in fractions of the image. Five numbers are class, centre x, centre y, width, height. Nine numbers
hold the corners of a rotated box (OBB), and any other odd count from seven on holds those of a polygon; the
enclosing box is taken. Keypoints stand behind the box where the data set says that it has some. Fractions are
of the upright picture, which is what tools show.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ...errors import UserError
from ..finder import forms, plain_leaf, spellings
from ..images import is_image_name
from ..progress import counted
from .model import KEYPOINTS, MASKS, NO_LABELS, RESPELLED, ROTATED, Options, Picture
from .reading import missing, read_text, unneeded, visible
from .sheet import Sheet

# Fractions are written with few digits, so that a box may cross the border by this much.
_SLACK = 0.01
# Text files that lie among labels and are not labels.
_NO_LABELS = re.compile(r"(classes|labels|notes|readme.*|train|val|valid|test)\.txt", re.IGNORECASE)


class Named(NamedTuple):
    """An image, its name in the new data set, and whether a list spells it otherwise."""

    file: Path
    name: str
    respelt: bool = False


def label_path(image: Path) -> Path:
    """Returns where the labels of an image are: in labels/ for the last images/ of its path, or beside it."""
    parts = image.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].casefold() == "images":
            # Some exporters write the folders in capitals, on a disk that tells them apart.
            for folder in ("labels", "Labels", "LABELS"):
                labels = Path(*parts[:index], folder, *parts[index + 1 :]).with_suffix(".txt")
                if labels.is_file() or labels.parent.is_dir():
                    return labels
            break
    return image.with_suffix(".txt")


class LabelReader:
    """Reads the labels of one split after another.

    ``source`` names the class list in errors, and ``notes`` counts what belongs to no image.
    """

    def __init__(
        self, names: list[str], source: str, keypoints: bool, options: Options, notes: Counter[str]
    ) -> None:
        self._names, self._source, self._keypoints = names, source, keypoints
        self._options, self._notes = options, notes

    def read_all(
        self, parts: dict[str, tuple[list[Named], Path]], lines: list[str]
    ) -> dict[str, list[Picture]]:
        """Reads all splits.

        One without any label is left out, and ``lines`` is told; train must have labels.
        """
        splits = {}
        for split, (images, where) in parts.items():
            if not images and split == "train":
                raise UserError(f"{where}: holds no image; put the images of the labels there")
            if split != "train" and not any(label_path(image.file).is_file() for image in images):
                lines.append(f"{where}: none of its images has a label file; the split '{split}' is left out")
                continue
            with unneeded(split, lines):
                splits[split] = self.read(split, images, where)
        return splits

    def read(self, split: str, images: Iterable[Named], where: object) -> list[Picture]:
        """Reads the labels of ``images``, which are in ``where``. Raises UserError for anything unsound."""
        pictures: list[Picture] = []
        owner: dict[Path, Named] = {}
        folders = set()
        for image in counted(list(images), f"reading {split}", self._options.progress):
            path = label_path(image.file)
            if path in owner and owner[path].file != image.file:
                pair = f"{owner[path].file} and {image.file}"
                raise UserError(f"{pair} share the label file {path}; rename one")
            owner[path] = image
            folders.add(path.parent)
        found = {path: path for path in owner if path.is_file()}
        found.update(self._respelt(owner, found, folders))
        for path, image in owner.items():
            pictures.append(self._picture(image, found.get(path), path))
        if pictures and not found:
            folder = next(iter(owner)).parent
            raise UserError(f"{where}: none of its {len(owner)} images has a label file in {folder}")
        # A label without an image is a sign of a lost or renamed image, so it does not pass in silence.
        for path in _lonely(folders, set(found.values())):
            text = f"{path}: its image {path.stem}.* is not in {where}"
            missing(text, self._options.skip_missing, self._notes)
        return pictures

    def _respelt(
        self, owner: dict[Path, Named], found: dict[Path, Path], folders: set[Path]
    ) -> dict[Path, Path]:
        """Label files of images that have none of their name, by another spelling (Label Studio's prefix)."""
        if len(found) == len(owner):
            return {}
        free: dict[str, list[Path]] = {}
        for path in _lonely(folders, set(owner)):
            for key in forms(plain_leaf(path.stem)):
                free.setdefault(key, []).append(path)
        pairs = {}
        for path in owner.keys() - found.keys():
            files = next((free[key] for key in spellings(plain_leaf(path.stem)) if key in free), [])
            if len(files) == 1:
                pairs[path] = files[0]
        # Two candidates on either side would be a guess, so such an image is taken to have no labels.
        taken = Counter(pairs.values())
        return {path: file for path, file in pairs.items() if taken[file] == 1}

    def _picture(self, image: Named, path: Path | None, usual: Path) -> Picture:
        sheet = Sheet(image.file, image.name, self._options)
        if path is None:
            sheet.note(NO_LABELS + ", kept as images without objects")
            return sheet.picture()
        sheet.note(*[RESPELLED] * (path != usual or image.respelt))
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if line.strip():
                self._add(sheet, f"{path} line {number}", line.split())
        return sheet.picture()

    def _add(self, sheet: Sheet, where: str, words: list[str]) -> None:
        # With keypoints behind the box the count of numbers would pass for a polygon's.
        keypoints = self._keypoints and len(words) > 5
        label, values = self._parse(where, words[:5] if keypoints else words)
        if len(values) == 4:
            sheet.add_values(label, values, "cxcywhn", notes=[KEYPOINTS] * keypoints)
            return
        (width, height), xs, ys = sheet.size, values[::2], values[1::2]
        corners = min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height
        sheet.add(label, corners, notes=[ROTATED if len(values) == 8 else MASKS])

    def _parse(self, where: str, words: list[str]) -> tuple[int, list[float]]:
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise UserError(f"{where}: {' '.join(words)[:60]!r} is not all numbers") from None
        if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
            raise UserError(
                f"{where}: has {len(values)} numbers; it needs 5 (class, centre x, centre y, width, height)"
            )
        if not values[0].is_integer() or not 0 <= values[0] < len(self._names):
            raise UserError(
                f"{where}: class index {words[0]} is not one of the {len(self._names)} of {self._source}"
            )
        # A user who says that boxes are in pixels must not be told that they are no fractions.
        pixels = self._options.boxes is not None and not self._options.boxes.endswith("n")
        for word, value in zip(words[1:], values[1:]):
            if not math.isfinite(value) or not (pixels or -_SLACK <= value <= 1 + _SLACK):
                raise UserError(
                    f"{where}: {word} is no fraction of the image; it must be within 0 to 1 (for pixels say "
                    "--boxes cxcywh, xywh or xyxy)"
                )
        return int(values[0]), values[1:]


def _lonely(folders: set[Path], used: set[Path]) -> list[Path]:
    """The label files that are not ``used`` and have no image of their name."""
    stems = {folder: _image_stems(folder) for folder in folders}
    # Labels of images of other splits, which the same folder may hold, are not this one's business.
    found = (path for path in _label_files(folders) if path not in used)
    return [path for path in found if path.stem not in stems[path.parent]]


def _label_files(folders: Iterable[Path]) -> list[Path]:
    found = [path for folder in folders if folder.is_dir() for path in folder.glob("*.[tT][xX][tT]")]
    return visible(path for path in found if not _NO_LABELS.fullmatch(path.name))


def _image_stems(labels: Path) -> set[str]:
    """The stems of the images that the labels of a folder may belong to: those beside them, or in images/."""
    parts = labels.parts
    places = [labels]
    for index in range(len(parts) - 1, -1, -1):
        if parts[index].casefold() == "labels":
            places.append(Path(*parts[:index], "images", *parts[index + 1 :]))
            break
    names = [path for place in places if place.is_dir() for path in place.iterdir()]
    return {path.stem for path in names if is_image_name(path.name)}
