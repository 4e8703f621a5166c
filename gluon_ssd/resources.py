"""Where the cards and recipes of the model zoo are, in a checkout and in an installed package alike."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def recipes_dir() -> Path:
    """Returns the folder that holds one folder per model, each with its card and its recipes.

    A wheel carries it inside the package. A checkout, including one that is installed with ``pip install
    -e``, has it at the top, where editing takes effect at once.
    """
    checkout = _PACKAGE.parent / "model_zoo"
    return checkout if (_PACKAGE.parent / "setup.py").is_file() else _PACKAGE / "model_zoo_data"


def recipe_names() -> list[str]:
    """Returns the names of all recipes, such as ``ssd_resnet34/mlperf``, sorted."""
    return sorted(f"{path.parent.name}/{path.stem}" for path in recipes_dir().glob("*/*.yaml"))


def recipe_path(name: str) -> Path:
    """Returns the file of the recipe called ``name``, which may not exist."""
    return recipes_dir() / f"{name}.yaml"


def card_path(model: str) -> Path:
    """Returns the file of a model's card, which may not exist."""
    return recipes_dir() / model / "README.md"
