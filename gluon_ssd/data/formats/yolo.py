"""YOLO in Ultralytics' layout, with data.yaml or by its folders; see `yolo_labels` for the labels.

Roboflow, CVAT ("Ultralytics YOLO") and Label Studio write it too.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ...errors import UserError
from ..splits import split_folders
from .model import FLAGS_LOST, Box, DataSet, Options, Picture
from .placing import Placer, fraction, label_clash, new_text, write_lines
from .reading import Images, check_names, class_file, read_classes
from .registry import LIKELY, NO, SURE, Format, register_format
from .yolo_config import find_config, load_config, names_of, parts_of
from .yolo_labels import LabelReader, Named

CROWD_DROPPED = "crowd regions, left out"
INNER_IMAGES = "images in a sub-folder images, renamed images_, since labels are found by that name"


@register_format
class Yolo(Format):
    """A folder, or the YAML file of one.

    Splits and class names come from data.yaml; without it from the folders (images/train, train/images, or
    images/ alone) and from classes.txt, else from ``options.classes``.
    """

    name = "yolo"
    labels = (".txt", ".yaml", ".yml")
    layout = "data.yaml, or images/ and labels/ with classes.txt or --classes"
    reading = "cxcywhn"

    def detect(self, root: Path) -> int:
        if find_config(root) is not None:
            return SURE
        folders = (root, *split_folders(root).values())
        return LIKELY if any(next((f / "labels").rglob("*.txt"), None) is not None for f in folders) else NO

    def read(self, root: Path, options: Options) -> DataSet:
        config = find_config(root)
        lines: list[str] = []
        if config is not None:
            content = load_config(config)
            names, source = names_of(content, config, lines), f"the 'names' of {config}"
            parts = parts_of(content, config, options, lines)
            keypoints = content.get("kpt_shape") is not None
        else:
            keypoints = False
            names, source = folder_classes(root, options)
            folders = _parts_of_folders(root, lines)
            parts = {split: (named_images(folder), folder) for split, folder in folders.items()}
        reader = LabelReader(names, source, keypoints, options)
        return DataSet(names, reader.read_all(parts, lines), reader.notes, lines)

    def write(self, data: DataSet, place: Placer, options: Options) -> None:
        """images/{split}/, labels/{split}/*.txt with ten decimals, and data.yaml, as Ultralytics reads it.

        Crowd regions are left out: as ordinary objects they would teach one box for many things.
        """
        import yaml

        root = place.partial
        for split, pictures in data.splits.items():
            (root / "images" / split).mkdir(parents=True)
            taken: dict[PurePosixPath, Path] = {}
            for picture in pictures:
                name = _written_name(picture, data)
                stem = PurePosixPath(name).with_suffix("")
                if stem in taken:
                    raise label_clash(taken[stem], picture.file)
                taken[stem] = picture.file
                place.put(picture, f"images/{split}/{name}")
                lines = [line for box in picture.boxes for line in _written_line(box, picture, data)]
                write_lines(root / "labels" / split / f"{stem}.txt", lines)
        folders = {split: f"images/{split}" for split in data.splits}
        with new_text(root / "data.yaml") as stream:
            content = {**folders, "names": dict(enumerate(data.classes))}
            yaml.safe_dump(content, stream, sort_keys=False, allow_unicode=True)


def folder_classes(root: Path, options: Options) -> tuple[list[str], str]:
    """Return the class names of a folder without data.yaml, and where they stand."""
    listed = class_file(root, root / "labels", root / "data", *split_folders(root).values())
    if listed is None and options.classes is None:
        raise UserError(f"{root}: neither data.yaml nor classes.txt; name the classes with --classes")
    names = read_classes(listed) if listed else check_names(options.classes or [], "--classes")
    return names, str(listed or "--classes")


def named_images(folder: Path) -> list[Named]:
    """Return all images below a folder."""
    return [Named(folder / name, name) for name in Images(folder).names]


def _parts_of_folders(root: Path, lines: list[str]) -> dict[str, Path]:
    outer = {split: folder / "images" for split, folder in split_folders(root, lines).items()}
    outer = {split: folder for split, folder in outer.items() if folder.is_dir()}
    found = outer or split_folders(root / "images", lines)
    if not found and (root / "images").is_dir():
        found = {"train": root / "images"}
    return found or split_folders(root, lines) or {"train": root}


def _written_name(picture: Picture, data: DataSet) -> str:
    """The name below images/{split}/: the last folder called images tells where the labels are."""
    *folders, leaf = PurePosixPath(picture.name).parts
    data.notes[INNER_IMAGES] += "images" in folders
    return "/".join((*("images_" if folder == "images" else folder for folder in folders), leaf))


def _written_line(box: Box, picture: Picture, data: DataSet) -> list[str]:
    """The line of one object, none for a crowd region."""
    data.notes[FLAGS_LOST] += bool(box.flags)
    if box.crowd:
        data.notes[CROWD_DROPPED] += 1
        return []
    (x, y, w, h), width, height = box.xywh, picture.width, picture.height
    sides = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
    return [" ".join((str(box.label), *map(fraction, sides)))]
