"""A data set of one format read, and written as another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Callable, NamedTuple

from ...errors import UserError
from ...files import new_folder
from .coco import looks_like_coco, read_coco_set
from .model import DataSet, Options, Picture
from .openimages import looks_like_openimages, read_openimages
from .placing import Placer
from .reading import choose_classes
from .voc import looks_like_voc, read_voc
from .writers import write_coco, write_openimages, write_voc, write_yolo
from .yolo import looks_like_yolo, read_yolo


class Format(NamedTuple):
    """How one format is recognised, read and written."""

    name: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path, Options], DataSet]
    write: Callable[[DataSet, Placer, Options], None]


FORMATS = {
    row.name: row
    for row in (
        Format("coco", looks_like_coco, read_coco_set, write_coco),
        Format("voc", looks_like_voc, read_voc, write_voc),
        Format("yolo", looks_like_yolo, read_yolo, write_yolo),
        Format("openimages", looks_like_openimages, read_openimages, write_openimages),
    )
}


def convert_data(
    source: Path,
    target: Path,
    source_format: str | None = None,
    target_format: str = "coco",
    images: str | None = None,
    val_share: float | None = None,
    options: Options | None = None,
) -> DataSet:
    """Read the data set at ``source`` and write it into the new folder ``target``.

    ``images``: none leaves them where they are (the default for COCO, whose file names can say so), link or
    copy puts them beside the labels (link is the default for the others). ``val_share`` moves that share of
    the training images to a val split, chosen by a hash of their names, so that the same ones are chosen
    again after images were added. Returns what was written, with ``notes`` on what was lost. Raises
    UserError for anything unsound; nothing is written then.
    """
    chosen = options or Options()
    if not source.exists():
        raise UserError(f"{source}: no such folder; give the data set's")
    with new_folder(target) as partial:
        data = FORMATS[source_format or detect(source)].read(source, chosen)
        data = choose_classes(data, chosen.classes)
        for split, pictures in data.splits.items():
            if not pictures:
                raise UserError(f"{source}: no image for the split '{split}'; complete it")
        if val_share is not None:
            data = hold_out(data, val_share)
        mode = images or ("none" if target_format == "coco" else "link")
        chosen.progress.start(f"writing {target_format}", sum(map(len, data.splits.values())))
        place = Placer(mode, partial, target, chosen.progress.advance)
        FORMATS[target_format].write(data, place, chosen)
        chosen.progress.stop()
    return data


def detect(source: Path) -> str:
    """Name the format of a data set. Raises UserError where none or several fit."""
    fitting = [row.name for row in FORMATS.values() if row.recognise(source)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{source}: holds labels of {' and '.join(fitting)}; choose with --from")
    raise UserError(
        f"{source}: no labels found (COCO: annotations/*.json, VOC: *.xml, YOLO: data.yaml or labels/*.txt, "
        "OpenImages: *-annotations-bbox.csv); check the folder, or say --from"
    )


def hold_out(data: DataSet, share: float) -> DataSet:
    """Move ``share`` of the training images, one at least, to a split val. Raises UserError."""
    if "val" in data.splits:
        raise UserError("the data set has a val split already; leave out --val-share")
    train = data.splits.get("train", [])
    if len(train) < 2:
        raise UserError(f"--val-share needs two training images at least, the data set has {len(train)}")
    count = min(max(1, round(share * len(train))), len(train) - 1)

    def digest(picture: Picture) -> bytes:
        return hashlib.sha256(picture.name.encode()).digest()

    chosen = {picture.name for picture in sorted(train, key=digest)[:count]}
    kept = [picture for picture in train if picture.name not in chosen]
    held = [picture for picture in train if picture.name in chosen]
    others = {split: rows for split, rows in data.splits.items() if split != "train"}
    return DataSet(data.classes, {"train": kept, "val": held, **others}, data.notes)
