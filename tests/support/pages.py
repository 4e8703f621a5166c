"""The blocks of code in a page of the documentation, and what the page says of each.

A comment before a block says how a test treats it; without one, ``sh`` and ``python`` blocks are run:

- ``<!-- not run: needs a GPU -->``: it is only parsed.
- ``<!-- run in docs/own-data.md -->``: that page has the same block, and it is run there.
- ``<!-- ends with 2 -->``: its exit status is not 0 but this.
- ``<!-- output -->``: it is what the block before it prints, with numbers to one per cent.
- ``<!-- output of a longer run -->``: the same, where the shortened run of the test has other numbers.

A comment ``<!-- given: my_set, runs/mine -->`` names what a reader of the page has already, and
``<!-- makes: found -->`` files that are there in the end.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import subprocess
from dataclasses import dataclass

from places import REPOSITORY

from gluon_ssd.resources import recipe_path

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]+) -->\n\n?)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
# What ends the arguments of a command.
ENDS = {"|", "||", "&", "&&", ";", ">", ">>", "2>"}


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, its text, and the comment before it."""

    language: str
    text: str
    mark: str

    @property
    def reason(self) -> str:
        """Why it is not run; empty where it is."""
        return self.mark.partition("not run: ")[2]

    @property
    def home(self) -> str:
        """The page in which it is run, if that is another one; else empty."""
        return self.mark.partition("run in ")[2]

    @property
    def status(self) -> int:
        """The exit status of its commands."""
        return int(self.mark.partition("ends with ")[2] or 0)

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, without comments; one that goes on in the next line is joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if shlex.split(line, comments=True)]


def page_blocks(page: str) -> list[Block]:
    """Returns the blocks of a page, whose path is from the repository, in their order."""
    found = BLOCK.finditer((REPOSITORY / page).read_text(encoding="utf-8"))
    return [Block(block["language"], block["text"], block["mark"] or "") for block in found]


def blocks(page: str, language: str) -> list[str]:
    """Returns the text of the blocks of a page in this language."""
    return [block.text for block in page_blocks(page) if block.language == language]


def named(page: str, what: str) -> list[str]:
    """Returns what the comments ``<!-- what: a, b -->`` of a page name."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return [
        name for names in re.findall(rf"^<!-- {what}: (.*) -->$", text, re.M) for name in names.split(", ")
    ]


def parse_shell(text: str, parser: argparse.ArgumentParser) -> None:
    """Raises where bash cannot read ``text``, or ``gluon-ssd`` cannot read one of its commands in it."""
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for start, (before, word) in enumerate(zip(["", *words], words)):
            if word == "gluon-ssd" and not before.startswith("--"):
                parse_command(words[start + 1 :], parser)
        for script in (
            word for word in words if re.fullmatch(r"(scripts|examples|benchmarks)/.*\.\w+", word)
        ):
            assert (REPOSITORY / script).exists(), script


def parse_command(words: list[str], parser: argparse.ArgumentParser) -> None:
    """Raises where ``gluon-ssd`` cannot read these arguments, of which "..." stands for any."""
    end = next((place for place, word in enumerate(words) if word in ENDS), len(words))
    known, strangers = parser.parse_known_args([word for word in words[:end] if word != "..."])
    assert not strangers, (words, strangers)
    recipe = getattr(known, "recipe", None) or ""
    assert "/" not in recipe or (REPOSITORY / recipe).exists() or recipe_path(recipe).exists(), recipe


def parse_python(text: str) -> None:
    """Raises where ``text`` is no Python, or imports from gluon_ssd what is not there."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gluon_ssd":
            for name in node.names:
                assert hasattr(importlib.import_module(node.module), name.name), name.name


def assert_printed(shown: str, printed: str, tolerance: float) -> None:
    """Fails unless the lines ``shown`` are among the lines ``printed``, in this order.

    Numbers may differ by ``tolerance``, a share of the number, and by a little where both are nearly 0.
    """
    lines = iter(printed.splitlines())
    for line in filter(None, map(str.strip, shown.splitlines())):
        assert any(_alike(line, other, tolerance) for other in lines), f"not printed: {line}\n{printed}"


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")


def _alike(shown: str, printed: str, tolerance: float) -> bool:
    words = [NUMBER.sub("0", line).split() for line in (shown, printed)]
    numbers = [[float(text.replace(",", "")) for text in NUMBER.findall(line)] for line in (shown, printed)]
    return words[0] == words[1] and all(
        abs(one - other) <= tolerance * abs(one) + 1e-4 for one, other in zip(*numbers)
    )
