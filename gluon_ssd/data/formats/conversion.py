"""Reads a data set in one format and writes it in another."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files import is_text, similar
from ...folders import new_folder
from ..units import doubts
from .model import DataSet, Options, Picture
from .placing import RENAMED, Placer
from .reading import choose_classes
from .registry import Format, find_labels, get_format


def read_dataset(source: Path, source_format: str | None = None, options: Options | None = None) -> DataSet:
    """Reads a data set of any format; without ``source_format`` the files tell which one it is.

    ``lines`` of the result say what was taken otherwise than it stands there. Raises UserError for anything
    unsound, and for boxes that cannot be what their format says.
    """
    chosen = options or Options()
    if not source.exists():
        raise UserError(f"{source}: no such folder{similar(source) or '; give that of the data set'}")
    home, name = (source, source_format) if source_format else find_labels(source)
    kind = get_format(name)
    data = choose_classes(kind.read(home, chosen), chosen.classes)
    odd = next((name for name in data.classes if not is_text(name)), None)
    if odd is not None:
        raise UserError(f"{source}: the class {odd!r} is no text; rename it")
    if home != source:
        data.lines.insert(0, f"the labels were found in {home}")
    if not data.splits:
        raise UserError(data.lines[-1] if data.lines else f"{source}: no image that has labels")
    empty = [split for split, pictures in data.splits.items() if not pictures]
    for split in empty:
        # Training does without a val or test split, but not without images.
        if split == "train" or len(data.splits) == 1:
            raise UserError(f"{source}: no image for the split '{split}'; complete it")
        data.lines.append(f"the split '{split}' has no image; it is left out")
    splits = {
        split: _named_apart(pictures, data.notes) for split, pictures in data.splits.items() if pictures
    }
    data = data._replace(splits=splits)
    data.lines.extend(_doubtful(source, data, kind, chosen))
    return data


def convert_data(
    source: Path,
    target: Path,
    source_format: str | None = None,
    target_format: str = "coco",
    images: str | None = None,
    val_share: float | None = None,
    options: Options | None = None,
) -> DataSet:
    """Reads the data set at ``source`` and writes it into the new folder ``target``.

    ``images`` is none, which leaves them where they are (the default for COCO, whose file names can say so),
    or link or copy, which puts them beside the labels (link is the default for the others). ``val_share``
    moves that share of the training images to a val split. They are chosen by a hash of their names, so that
    the same ones are chosen again after images were added.

    Returns what was written, with ``notes`` on what was lost. Raises UserError for anything unsound; nothing
    is written then.
    """
    chosen = options or Options()
    writer = get_format(target_format)
    if not source.exists():
        raise UserError(f"{source}: no such folder{similar(source) or '; give that of the data set'}")
    with new_folder(target) as partial:
        data = read_dataset(source, source_format, chosen)
        if val_share is not None:
            data = hold_out(data, val_share)
        mode = images or ("none" if target_format == "coco" else "link")
        chosen.progress.start(f"writing {target_format}", sum(map(len, data.splits.values())))
        place = Placer(mode, partial, target, chosen.progress.advance)
        writer.write(data, place, chosen)
        chosen.progress.stop()
    return data


def _doubtful(source: Path, data: DataSet, kind: Format, options: Options) -> list[str]:
    """Warnings about boxes that do not look like what their format says.

    Raises UserError where they cannot be that.
    """
    # A user who has said how boxes are read is not asked again.
    if kind.reading is None or options.boxes is not None:
        return []
    pictures = list(data.pictures())
    values = np.array([value for picture in pictures for value in picture.values], np.float64).reshape(-1, 4)
    sizes = np.array([picture.frame for picture in pictures for _ in picture.values], np.float64).reshape(
        -1, 2
    )
    found = doubts(values, sizes, kind.reading, kind.origin(options))
    for doubt in found:
        if doubt.error:
            raise UserError(f"{source}: {doubt}")
    return [f"warning: {doubt}" for doubt in found]


def _named_apart(pictures: list[Picture], notes: Counter[str]) -> list[Picture]:
    """Returns the pictures of a split, each with a name of its own.

    Where several have one name, from folders that the format takes for the beginning of all names, all are
    called by their paths below the folder that they have in common. Raises UserError for an image that is
    there twice.
    """
    if len({picture.name for picture in pictures}) == len(pictures):
        return pictures
    files = [os.path.abspath(picture.file) for picture in pictures]
    repeated = [file for file, times in Counter(files).items() if times > 1]
    if repeated:
        raise UserError(f"{repeated[0]}: the labels have this image twice; leave out one of the two")
    base = os.path.commonpath([os.path.dirname(file) for file in files])
    names = [Path(os.path.relpath(file, base)).as_posix() for file in files]
    notes[RENAMED] += sum(name != picture.name for name, picture in zip(names, pictures))
    return [picture._replace(name=name) for name, picture in zip(names, pictures)]


def hold_out(data: DataSet, share: float) -> DataSet:
    """Moves ``share`` of the training images, at least one, to a split val.

    Raises UserError where there is a val split already, or only one training image.
    """
    if "val" in data.splits:
        raise UserError("the data set has a val split already; leave out --val-share")
    train = data.splits.get("train", [])
    if len(train) < 2:
        raise UserError(f"--val-share needs two training images at least, the data set has {len(train)}")
    count = min(max(1, round(share * len(train))), len(train) - 1)

    def digest(picture: Picture) -> bytes:
        # By its bytes, which need not be UTF-8.
        return hashlib.sha256(os.fsencode(picture.name)).digest()

    # Sorted by the hash, so that an image keeps its rank among the others whatever is added later.
    chosen = {picture.name for picture in sorted(train, key=digest)[:count]}
    kept = [picture for picture in train if picture.name not in chosen]
    held = [picture for picture in train if picture.name in chosen]
    others = {split: rows for split, rows in data.splits.items() if split != "train"}
    return data._replace(splits={"train": kept, "val": held, **others})
