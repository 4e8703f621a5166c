"""The pieces of shell and Python in a page of the documentation."""

from __future__ import annotations

import re

from places import REPOSITORY


def commands(page: str) -> list[str]:
    """Returns the lines of all ``sh`` blocks of a page, whose path is from the repository."""
    return [line for block in blocks(page, "sh") for line in block.splitlines()]


def blocks(page: str, language: str) -> list[str]:
    """Returns the blocks of a page that are marked with this language, in their order."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
