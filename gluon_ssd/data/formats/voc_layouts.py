"""Finds Pascal VOC's XML files, images and lists of splits, whatever the case of their folders' names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from ..splits import OF_NO_SPLIT, first_of_each, folder_called, split_by_folder, split_folders, split_of
from .reading import read_text, visible

_LABELS = ("annotations", "annots", "annotation", "labels", "xmls", "xml")
_IMAGES = ("jpegimages", "images", "imgs", "img", "jpgimages")


def label_folder(root: Path) -> Path | None:
    """Returns the folder of ``root`` that holds XML files, None where it has none of its own."""
    for name in _LABELS:
        folder = folder_called(root, name)
        if folder is not None and visible(folder.rglob("*.[xX][mM][lL]")):
            return folder
    return None


def voc_image_folder(path: Path, root: Path) -> Path:
    """Returns where the image of an XML file is looked for first: JPEGImages/ or the like, else beside it."""
    # From the XML file upwards, so that train/JPEGImages wins over a folder at the top.
    for folder in path.parents:
        inner = folder_called(folder, *_IMAGES)
        if inner is not None:
            return inner
        if folder == root:
            break
    return path.parent


def xml_files(root: Path) -> Iterator[list[Path]]:
    """Yields the XML files of ``root``, then those of each folder in it that is named like a split."""
    for folder in (root, *split_folders(root).values()):
        inner = label_folder(folder)
        files = inner.rglob("*.[xX][mM][lL]") if inner else folder.glob("*.[xX][mM][lL]")
        yield visible(files)


def find_parts(root: Path, lines: list[str]) -> dict[str, list[Path]]:
    """Returns the XML files of each split; ``lines`` is told what is unused, or taken for training."""
    # The first of them are those of the root itself; only without any are the folders of splits looked at.
    files = next(xml_files(root))
    if not files:
        folders = split_folders(root, lines)
        parts = {split: next(xml_files(folder)) for split, folder in folders.items()}
        lines += [
            f"{folders[split]} has no XML file; there is no split '{split}'"
            for split in parts
            if not parts[split]
        ]
        parts = {split: found for split, found in parts.items() if found}
        if not parts:
            raise UserError(f"{root}: neither Annotations/ nor XML files here, in train/ or in val/")
        return parts
    labels = label_folder(root) or root
    return _by_lists(root, labels, files, lines) or split_by_folder(files, labels, lines)


def _by_lists(root: Path, labels: Path, files: list[Path], lines: list[str]) -> dict[str, list[Path]]:
    """Splits by the lists of ImageSets/Main; an empty dict without any."""
    lists = _lists(root)
    known = first_of_each([path for path in lists if split_of(path.stem)], lines)
    others = [path for path in lists if not split_of(path.stem)]
    # VOC has lists of single classes beside those of all: dog_train.txt.
    single = [path for path in others if split_of(path.stem.rpartition("_")[2])]
    others = [path for path in others if path not in single]
    if known and single:
        lines.append(f"{len(single)} lists of single classes are not used")
    if known:
        lines += [f"{path} is not used: {OF_NO_SPLIT}" for path in others]
        parts = {split: _listed(labels, files, path, split, lines) for split, path in known.items()}
    else:
        lines += [f"{path} names no split; its images are taken as train" for path in others]
        parts = {"train": [xml for path in others for xml in _listed(labels, files, path, "train", lines)]}
    # An image may stand in several lists of one split, but trains once.
    parts = {split: list(dict.fromkeys(found)) for split, found in parts.items() if found}
    left = len(set(files) - {path for found in parts.values() for path in found})
    if parts and left:
        lines.append(f"{left} XML files are in no list that is used; they are left out")
    return parts


def _lists(root: Path) -> list[Path]:
    sets = folder_called(root, "imagesets")
    if sets is None:
        return []
    main = folder_called(sets, "main")
    return visible((main or sets).glob("*.[tT][xX][tT]"))


def _listed(labels: Path, files: list[Path], file: Path, split: str, lines: list[str]) -> list[Path]:
    """Those of the XML ``files``, which are below ``labels``, that a list names.

    A list of the test split may name images without XML files, as VOC's own does; those are left out.
    """
    # By the name without its suffix, which may be in capitals.
    known = {path.with_suffix(""): path for path in files}
    paths = []
    missing: list[tuple[int, str]] = []
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        # Names may hold blanks, but in the lists of one class a mark (1, 0, -1) stands behind the name. Some
        # lists name the image file instead, or both files.
        stems = (line.strip(), line.rsplit(None, 1)[0].strip(), Path(line.split()[0]).stem)
        path = next((known[labels / stem] for stem in stems if labels / stem in known), None)
        if path is None:
            missing.append((number, stems[1]))
        else:
            paths.append(path)
    if missing and (split == "test" or not paths):
        lines.append(f"{file}: {len(missing)} of its images have no XML file; they are left out")
    elif missing:
        number, stem = missing[0]
        raise UserError(f"{file} line {number}: {labels / stem}.xml does not exist; remove the line")
    return paths
