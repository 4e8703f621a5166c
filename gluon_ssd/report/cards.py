"""The parts of the models' cards and of the README that are computed: facts, recipes, the table of models.

``python -m gluon_ssd.report.cards`` writes them anew, between lines such as ``<!-- facts -->`` and ``<!--
/facts -->``; a test fails where they are not what the code says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Callable

from ..model_zoo import list_models, model_row
from ..model_zoo.profile import Profile, profile_model
from ..recipe import load_recipe
from ..resources import card_path, recipe_names, recipe_path, recipes_dir

Block = Callable[[], str]
_profile = lru_cache(maxsize=None)(profile_model)


def facts(name: str) -> str:
    """Returns the computed facts of a model, for its own classes and input size, as a Markdown table."""
    profile, row = _profile(name), model_row(name)
    height, width = profile.input_size
    maps = ", ".join("x".join(str(side) for side in found) for found in profile.maps)
    rows = [
        ("input", f"{height}x{width} RGB"),
        ("classes", f"{len(row.default_classes)}"),
        ("parameters", _parameters(profile)),
        ("forward pass", f"{profile.gflops:.1f} GFLOP ({profile.multiply_adds / 1e9:.2f} G multiply-adds)"),
        ("feature maps", f"{maps} (channels, height, width)"),
        ("outputs", _outputs(profile)),
    ]
    return _table(("computed from the graph", ""), rows)


def recipes(name: str) -> str:
    """Returns the recipes of a model as a Markdown table."""
    rows = []
    for recipe in recipe_names():
        if recipe.startswith(f"{name}/"):
            values = load_recipe(recipe)
            length = f"{values.max_steps} steps" if values.max_steps else f"{values.epochs} epochs"
            rate = f"{values.lr:g}" if values.optimizer == "adam" else f"{values.lr:g} per 32 images"
            what = f"{length}, batch {values.batch_size} per process, {values.optimizer} {rate}"
            rows.append((f"`{recipe}`", f"{what}, {values.precision}", _goal(recipe)))
    return _table(("recipe", "trains", "expected mAP"), rows)


def zoo() -> str:
    """Returns every model with its size and cost, detectors first, as a Markdown table."""
    rows = []
    for name in [*list_models("detector"), *list_models("backbone")]:
        row, profile = model_row(name), _profile(name)
        size = "x".join(str(side) for side in row.input_size)
        rows.append((f"`{name}`", row.summary, size, profile.millions, f"{profile.gflops:.1f}"))
    return _table(("name", "what it is", "input", "parameters", "GFLOP"), rows)


def fill(text: str, blocks: Mapping[str, Block]) -> str:
    """Returns ``text`` with what stands between the markers of ``blocks`` made anew.

    Raises ValueError for a block whose markers are missing.
    """
    for name, make in blocks.items():
        found = re.search(f"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", text, re.DOTALL)
        if not found:
            raise ValueError(f"no place for {name}: <!-- {name} --> and <!-- /{name} --> are missing")
        text = text[: found.start()] + make() + text[found.end() :]
    return text


def documents() -> dict[Path, str]:
    """Returns the files with computed parts, each with the text that it should have."""
    wanted: dict[Path, dict[str, Block]] = {}
    for name in list_models():
        blocks: dict[str, Block] = {"facts": partial(facts, name)}
        if model_row(name).recipe:
            blocks["recipes"] = partial(recipes, name)
        wanted[card_path(name)] = blocks
    readme = recipes_dir().parent / "README.md"
    if readme.is_file():  # not in an installed package
        wanted[readme] = {"models": zoo}
    return {path: fill(path.read_text(encoding="utf-8"), blocks) for path, blocks in wanted.items()}


def main() -> None:
    """Writes the files that have changed, and prints their names."""
    for path, text in documents().items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path)


def _parameters(profile: Profile) -> str:
    text = f"{profile.millions} ({profile.parameters:,})"
    if profile.trained == profile.parameters:
        return f"{text}, all trained"
    return f"{text}, {profile.trained:,} of them trained unless asked otherwise"


def _outputs(profile: Profile) -> str:
    if profile.anchors is None:
        return f"logits ({profile.outputs[0][1]})"
    shapes = zip(profile.output_names, profile.outputs)
    return ", ".join(f"`{name}` {shape[1]:,} x {shape[2]}" for name, shape in shapes)


def _goal(recipe: str) -> str:
    """What the head of a recipe says behind "Expected mAP"."""
    lines = recipe_path(recipe).read_text(encoding="utf-8").splitlines()
    head = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    # To the end of the sentence; the point inside a number is not followed by a blank.
    found = re.search(r"Expected mAP: (.+?)(?:[;.](?: |$)|$)", head)
    return found[1] if found else "not stated"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(head), "|".join(["---"] * len(head)), *(" | ".join(row) for row in rows)]
    return "".join(f"|{line}|\n" if line.startswith("---") else f"| {line} |\n" for line in lines)


if __name__ == "__main__":
    main()
