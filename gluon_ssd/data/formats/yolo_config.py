"""Ultralytics' data.yaml: class names, and the images of each split in every form that is documented.

A split is a folder, a text file that lists images, or a list of either. They are relative to ``path``, or to
the YAML file itself.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...values import refuse_expansion
from ..finder import Finder
from ..splits import OF_NO_SPLIT, SPLITS, folder_called, split_of
from .model import Options
from .reading import Images, check_names, inner_name, missing, read_text, unneeded, visible
from .yolo_labels import Named

_CONFIGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_OTHER_KEYS = ("path", "names", "nc", "download", "kpt_shape", "flip_idx", "roboflow")


def find_config(root: Path) -> Path | None:
    """Returns the YAML file of a data set, None without one.

    It is ``root`` itself, data.yaml in it, or else its only YAML file that has 'names'. Raises UserError
    where data.yaml cannot be read.
    """
    if root.is_file():
        return root if root.suffix in (".yaml", ".yml") else None
    usual = next((root / name for name in _CONFIGS if (root / name).is_file()), None)
    if usual is not None:
        return usual if load_config(usual).keys() & {"names", "nc"} else None
    others = [path for path in visible(root.glob("*.y*ml")) if _has_names(path)]
    return others[0] if len(others) == 1 else None


def _has_names(path: Path) -> bool:
    try:
        content = load_config(path)
    except UserError:
        return False
    return "names" in content and any(split_of(str(key)) for key in content)


def load_config(path: Path) -> dict[str, Any]:
    """Returns the content of a YAML file. Raises UserError for what is not YAML, or not of a data set."""
    import yaml

    try:
        text = read_text(path)
        content = refuse_expansion(yaml.safe_load(text), text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise UserError(f"{path}: not YAML{place}: {getattr(error, 'problem', None) or error}") from None
    except (ValueError, RecursionError) as error:
        # Such as the date 2026-99-99, a number of thousands of digits, or thousands of brackets.
        raise UserError(f"{path}: holds a value that YAML cannot read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must have the keys 'names', 'train' and 'val'")
    return content


def names_of(content: dict[str, Any], path: Path, lines: list[str]) -> list[str]:
    """Returns the class names, from a list or a map by index; without any, names for 'nc' classes."""
    names, count = content.get("names"), content.get("nc")
    if names is None and isinstance(count, int) and count > 0:
        lines.append(f"{path} names no class; they are called class_0 to class_{count - 1}")
        return [f"class_{index}" for index in range(count)]
    if isinstance(names, dict):
        byindex = {int(key) if str(key).isdecimal() else key: name for key, name in names.items()}
        # As text, because keys that are no numbers cannot be compared with numbers.
        if sorted(byindex, key=str) != sorted(range(len(names)), key=str):
            raise UserError(f"{path}: the keys of 'names' must be 0 to {len(names) - 1}, each once")
        names = [byindex[index] for index in range(len(names))]
    if not isinstance(names, list):
        raise UserError(f"{path}: 'names' must be a list of class names, or their indices with names")
    checked = check_names(names, f"{path}: 'names'")
    if count is not None and count != len(checked):
        raise UserError(f"{path}: 'nc' is {count!r} but 'names' has {len(checked)}; correct one")
    return checked


def parts_of(
    content: dict[str, Any], config: Path, options: Options, lines: list[str], notes: Counter[str]
) -> dict[str, tuple[list[Named], Path]]:
    """Returns the images of each split, and where they are.

    ``lines`` is told of splits that are missing, and ``notes`` counts images that are.
    """
    parts: dict[str, tuple[list[Named], Path]] = {}
    keys = {}
    for key, value in content.items():
        split = split_of(str(key))
        # "val" and "valid" mean the same split; the first of them counts.
        if split and value and split not in keys:
            keys[split] = key
        elif (
            value and isinstance(value, (str, list)) and str(key) not in _OTHER_KEYS and _leads(value, config)
        ):
            lines.append(f"{config}: '{key}' is not used: {OF_NO_SPLIT}")
    problems = []
    for split in SPLITS:
        if split not in keys:
            continue
        value, key = content[keys[split]], str(keys[split])
        with unneeded(split, lines):
            try:
                parts[split] = _part(value, key, content.get("path"), config, options, notes)
            except _NotThere as error:
                problems.append(str(error))
    # Any other split may be missing, which is only reported.
    if not parts or "train" not in parts and problems:
        raise UserError(
            f"{problems[0]}; correct it or 'path'"
            if problems
            else f"{config}: lacks 'train'; give the folder of the training images"
        )
    lines += [f"{problem}; that split is left out" for problem in problems]
    return parts


class _NotThere(UserError):
    """What a split names does not exist."""


def _leads(value: Any, config: Path) -> bool:
    """Whether a value of the file is the path of something that exists."""
    # Unlike pathlib's, this is False for a name that is too long for any file.
    return isinstance(value, str) and os.path.exists(config.parent / value)


def _part(
    value: Any, key: str, base: Any, config: Path, options: Options, notes: Counter[str]
) -> tuple[list[Named], Path]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        raise UserError(
            f"{config}: '{key}' is {value!r}; it must be a folder of images, a list file, or several"
        )
    places = [_place(config, base, key, each) for each in values]
    images: list[Named] = []
    for place in places:
        found = _listed(place, config, base, options, notes) if place.is_file() else _inside(place)
        # Several folders may hold images of the same name; the name of the folder keeps them apart.
        prefix = f"{place.parent.name if place.name == 'images' else place.name}/" if len(places) > 1 else ""
        images += [image._replace(name=prefix + image.name) for image in found]
    # An image that is listed twice trains once.
    return list({image.file: image for image in images}.values()), places[0]


def _inside(folder: Path) -> list[Named]:
    return [Named(folder / name, name) for name in Images(folder).names]


def _place(config: Path, base: Any, key: str, value: str) -> Path:
    """The folder or list that ``key`` names.

    It is looked for from ``path``, from the file itself, and from there without a leading ../, which
    exporters write that expect the file one folder further down.
    """
    home = config.parent
    # Some exporters write the backslashes of Windows.
    value = value if os.path.exists(home / value) else value.replace("\\", "/")
    bases = [home / str(base), home] if base else [home]
    stripped = value
    while stripped.startswith(("../", "./")):
        stripped = stripped[stripped.index("/") + 1 :]
    # A path of another machine, such as /content/project/train/images, may end like one that is here.
    parts = Path(stripped).parts
    ends = [Path(*parts[start:]) for start in range(1, len(parts))]
    candidates = [b / text for text in (value, stripped) for b in bases]
    for candidate in (*candidates, *(home / end for end in ends)):
        if os.path.isdir(candidate):
            return folder_called(candidate, "images") or candidate
        if os.path.isfile(candidate):
            return candidate
    tried = " or ".join(dict.fromkeys(map(str, candidates)))
    raise _NotThere(f"{config}: '{key}' names {value}, and there is no folder or list {tried}")


def _listed(file: Path, config: Path, base: Any, options: Options, notes: Counter[str]) -> list[Named]:
    """The images of a list, found from the list, from ``path``, or anywhere below the file's own folder."""
    root = config.parent
    folders = [file.parent, *([root / str(base)] if base else []), root]
    return read_list(file, folders, root, options, notes)


def read_list(
    file: Path, folders: list[Path], root: Path, options: Options, notes: Counter[str]
) -> list[Named]:
    """Returns the images that a text file lists, one on each line.

    Raises UserError for an image that is missing, unless the options leave such images out; ``notes`` counts
    them then.
    """
    finder = Finder(folders, root)
    images = []
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        name = line.strip()
        if not name:
            continue
        found = finder.find(name)
        if found is None:
            missing(f"{file} line {number}: its image {name} is not there", options.skip_missing, notes)
            continue
        path, respelt = found
        images.append(Named(path, _without_images(inner_name(path, root)), respelt))
    return images


def _without_images(name: str) -> str:
    """The name in the new data set, which has a folder of images anyway."""
    return name[len("images/") :] if name.startswith("images/") else name
