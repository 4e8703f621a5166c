"""The reference pages that are made from the code: commands, recipes, models and the Python API.

`python docs/make_reference.py FOLDER` writes them as Markdown; the site makes them by itself.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import fields
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# What `import gluon_ssd` offers, by where it is defined, and what its results are made of.
PUBLIC = (
    "training.train.train",
    "predict.Detector",
    "detections.Detections",
    "detections.Detection",
    "weights.pretrained.get_model",
    "weights.loading.load",
    "model_zoo.registry.list_models",
    "training.callbacks.base.Callback",
    "errors.UserError",
)


def commands() -> str:
    """Returns the page of verbs and flags, which says what ``gluon-ssd VERB --help`` says."""
    from gluon_ssd.cli.main import VERBS, build_parser

    parser = build_parser()
    verbs = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices
    parts = ["# Commands", "Each verb has the same in `gluon-ssd VERB --help`."]
    for name in VERBS:
        parts += [f"## {name}", *_verb(verbs[name])]
    return "\n\n".join(parts) + "\n"


def _verb(parser: argparse.ArgumentParser) -> list[str]:
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    parts = [parser.description or "", f"```text\n{usage}\n```"]
    for group in parser._action_groups:
        rows = [_flag(parser, action) for action in group._group_actions if action.help != argparse.SUPPRESS]
        if rows:
            parts.append(_table((group.title or "", ""), rows))
    lines, page = (parser.epilog or "").removeprefix("example:\n").split("\n\npage: docs/")
    example = re.sub(r"^  ", "", lines, flags=re.M)
    return [*parts, f"Example:\n\n```text\n{example}\n```", f"More: [{page}](../{page})."]


def _flag(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str]:
    formatter = parser._get_formatter()
    text = formatter._expand_help(action) if action.help else ""
    return f"`{formatter._format_action_invocation(action)}`", text


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Returns text that is one cell of a table, whose own bars and angle brackets are no syntax."""
    text = " ".join(text.split()).replace("|", "\\|")
    return text if text.startswith("`") or "](" in text else text.replace("<", "&lt;")


def recipes() -> str:
    """Returns the page of recipes: every key with its default, and every recipe of the zoo as it is."""
    from gluon_ssd import resources
    from gluon_ssd.recipe import Recipe

    rows = [
        (f"`{item.name}`", f"`{item.type}`", f"`{_default(item.default)}`", item.metadata["help"])
        for item in fields(Recipe)
    ]
    parts = [
        "# Recipes",
        "A recipe is a YAML file with any of these keys. With dashes each is a flag of `gluon-ssd train`, "
        "which wins over the recipe; in Python each is an argument of `train`.",
        "## Keys",
        _table(("key", "type", "default", "what it does"), rows),
    ]
    for name in resources.recipe_names():
        model = name.split("/")[0]
        text = resources.recipe_path(name).read_text(encoding="utf-8").rstrip()
        parts += [f"## {name}", f"Of [{model}](../../model_zoo/{model}/README.md).", f"```yaml\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def _default(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value).lower()


def models() -> str:
    """Returns the page of models: README.md's table, with a link to each card."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = readme.split("<!-- models -->")[1].split("<!-- /models -->")[0].strip()
    table = re.sub(r"^\| `(\w+)` \|", r"| [`\1`](../../model_zoo/\1/README.md) |", table, flags=re.M)
    text = "A model's card has its recipes, what was published of it and what was measured here."
    return f"# Models\n\n{text}\n\n{table}\n"


def api() -> str:
    """Returns the page of the Python API, which mkdocstrings fills in from the docstrings."""
    text = "All of these but `Detection` are names of `gluon_ssd`: `from gluon_ssd import Detector`."
    return "\n\n".join(["# Python API", text, *(f"::: gluon_ssd.{name}" for name in PUBLIC)]) + "\n"


PAGES = {
    "reference/commands.md": commands,
    "reference/recipes.md": recipes,
    "reference/models.md": models,
    "reference/api.md": api,
}


def main() -> None:
    """Writes the pages into the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, make in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    main()
