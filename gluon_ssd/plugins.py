"""Plugins: the user's own Python files and modules that add models to the zoo when they are imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from .errors import UserError, import_problem
from .files import as_path

# The environment variable that names plugins, separated as in PATH; ``--plugin`` adds to them.
VARIABLE = "GLUON_SSD_PLUGIN"


def plugins_of_environment() -> list[str]:
    """Returns the plugins that the environment variable GLUON_SSD_PLUGIN names."""
    return [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def import_plugins(names: Sequence[str]) -> tuple[str, ...]:
    """Imports files (``fcos.py``) and modules (``my_models.fcos``) in this order, each once in a process.

    Returns the names under which they are found from any folder: for a file, its whole path. Raises UserError
    for what is missing or cannot be imported.
    """
    return tuple(_import(name) for name in names)


def _import(name: str) -> str:
    path = as_path(name)
    is_file = path.suffix == ".py" or len(path.parts) > 1
    if is_file and not path.is_file():
        raise UserError(f"plugin {name}: no such file")
    try:
        if is_file:
            _import_file(path.resolve())
            return str(path.resolve())
        importlib.import_module(name)
        return name
    except UserError:
        raise
    except Exception as error:
        cause = import_problem(error) or f"{type(error).__name__}: {error}"
        raise UserError(f"plugin {name}: cannot be imported: {cause}") from error


def _import_file(path: Path) -> None:
    # A file that was imported before, under whatever name, would register its models twice.
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    if any(file is not None and os.path.abspath(file) == str(path) for file in loaded):
        return
    # The checksum of the path tells two files of the same name apart.
    module_name = f"gluon_ssd_plugin_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin {path}: is no Python file; its name should end in .py")
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        # A half-imported module must not pass for the plugin at the next try.
        del sys.modules[module_name]
        raise
