"""Finds the entry of an annotation file that belongs to an image, by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .coco_json import CocoFile
from .finder import Parts, add_ends, longest_end, plain_parts


def match_images(paths: Sequence[Path], file: CocoFile) -> list[int | None]:
    """Returns the index into ``file`` of each image; None for an image that the file does not name.

    Names are compared part by part from the last one on, whatever their spelling. Raises UserError where two
    entries, or two images, could be meant.
    """
    by_end: dict[Parts, list[int]] = {}
    for index, name in enumerate(file.file_names):
        add_ends(by_end, plain_parts(name), index)
    found: list[int | None] = []
    taken: dict[int, Path] = {}
    for path in paths:
        # The entry that shares the most folders with the path is meant; several are a tie that only the user
        # can break.
        best = longest_end(by_end, plain_parts(str(path.absolute())))
        if len(best) > 1:
            one, other = (file.file_names[index] for index in best[:2])
            raise UserError(
                f"{path}: could be {one} or {other} of {file.path}; predict from the folder above"
            )
        if best and best[0] in taken:
            raise UserError(
                f"{path} and {taken[best[0]]}: {file.path} has one image of this name; take one of them"
            )
        if best:
            taken[best[0]] = path
        found.append(best[0] if best else None)
    return found
