"""YOLO in Ultralytics' layout, with data.yaml or by its folders; see `yolo_labels` for the labels.

Roboflow, CVAT ("Ultralytics YOLO") and Label Studio write it too.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

from ...errors import UserError
from ..splits import folder_called, split_folders
from .model import FLAGS_LOST, Box, DataSet, Options, Picture
from .placing import Placer, fraction, label_clash, new_text, write_lines
from .reading import Images, check_names, class_file, name_others, read_classes, visible
from .registry import LIKELY, NO, POSSIBLE, SURE, Format, register_format
from .yolo_config import find_config, load_config, names_of, parts_of
from .yolo_labels import LabelReader, Named

CROWD_DROPPED = "crowd regions, left out"
INNER_IMAGES = "images in a sub-folder images, renamed images_, since labels are found by that name"


@register_format
class Yolo(Format):
    """A folder, or the YAML file of one.

    Splits and class names come from data.yaml. Without it the splits come from the folders (images/train,
    train/images, or images/ alone) and the names from classes.txt, else from ``options.classes``.
    """

    name = "yolo"
    labels = (".txt", ".yaml", ".yml")
    layout = "data.yaml, or images/ and labels/ with classes.txt or --classes"
    reading = "cxcywhn"

    def detect(self, root: Path) -> int:
        unsound = NO
        try:
            if find_config(root) is not None:
                return SURE
        except UserError:
            # Another program may have written this data.yaml. Where nothing else fits, reading tells of it.
            unsound = POSSIBLE
        folders = [folder_called(f, "labels") for f in (root, *split_folders(root).values())]
        labelled = any(folder and visible(folder.rglob("*.[tT][xX][tT]")) for folder in folders)
        return LIKELY if labelled else unsound

    def read(self, root: Path, options: Options) -> DataSet:
        config = find_config(root)
        lines: list[str] = []
        notes: Counter[str] = Counter()
        if config is not None:
            content = load_config(config)
            names, source = names_of(content, config, lines), f"the 'names' of {config}"
            parts = parts_of(content, config, options, lines, notes)
            keypoints = content.get("kpt_shape") is not None
        else:
            keypoints = False
            names, source = folder_classes(root, options)
            folders = _parts_of_folders(root, lines)
            parts = {split: (named_images(folder), folder) for split, folder in folders.items()}
        reader = LabelReader(names, source, keypoints, options, notes)
        return DataSet(names, reader.read_all(parts, lines), notes, lines)

    def write(self, data: DataSet, place: Placer, options: Options) -> None:
        """Writes images/{split}/, labels/{split}/*.txt with ten decimals, and data.yaml, for Ultralytics.

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
                # Labels go by the name without its suffix, so a.jpg and a.png would share one label file.
                if stem in taken:
                    raise label_clash(taken[stem], picture.file)
                taken[stem] = picture.file
                place.put(picture, f"images/{split}/{name}")
                lines = [line for box in picture.boxes for line in _written_line(box, picture, data)]
                write_lines(root / "labels" / split / f"{stem}.txt", lines)
        # Without the key "path", so that the folders are found from data.yaml wherever it is moved.
        folders = {split: f"images/{split}" for split in data.splits}
        with new_text(root / "data.yaml") as stream:
            content = {**folders, "names": dict(enumerate(data.classes))}
            yaml.safe_dump(content, stream, sort_keys=False, allow_unicode=True)


def folder_classes(root: Path, options: Options) -> tuple[list[str], str]:
    """Returns the class names of a folder without data.yaml, and where they were found."""
    inner = [folder_called(root, name) or root for name in ("labels", "data")]
    listed = class_file(root, *inner, *split_folders(root).values())
    if listed is None and options.classes is None:
        raise UserError(f"{root}: neither data.yaml nor classes.txt; name the classes with --classes")
    names = read_classes(listed) if listed else check_names(options.classes or [], "--classes")
    return names, str(listed or "--classes")


def named_images(folder: Path) -> list[Named]:
    """Returns all images below a folder."""
    return [Named(folder / name, name) for name in Images(folder).names]


def _parts_of_folders(root: Path, lines: list[str]) -> dict[str, Path]:
    """The image folder of each split: train/images, else images/train, else images/, else train/.

    Where none of these is there, the folder itself is taken as train. ``lines`` is told of what is not used.
    """
    splits, home = split_folders(root, lines), folder_called(root, "images")
    outer = {split: folder_called(folder, "images") for split, folder in splits.items()}
    found = {split: folder for split, folder in outer.items() if folder is not None}
    if found or home is None:
        name_others(root, splits, lines)
        return found or splits or {"train": root}
    inner = split_folders(home, lines)
    name_others(home, inner, lines)
    return inner or {"train": home}


def _written_name(picture: Picture, data: DataSet) -> str:
    """The name of an image below images/{split}/.

    Readers replace the last folder images of a path by labels, so no folder inside may have that name.
    """
    *folders, leaf = PurePosixPath(picture.name).parts
    data.notes[INNER_IMAGES] += "images" in folders
    return "/".join((*("images_" if folder == "images" else folder for folder in folders), leaf))


def _written_line(box: Box, picture: Picture, data: DataSet) -> list[str]:
    """The line of one object in a list, which is empty for a crowd region."""
    data.notes[FLAGS_LOST] += bool(box.flags)
    if box.crowd:
        data.notes[CROWD_DROPPED] += 1
        return []
    (x, y, w, h), width, height = box.xywh, picture.width, picture.height
    sides = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
    return [" ".join((str(box.label), *map(fraction, sides)))]
