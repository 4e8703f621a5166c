"""Imports go downwards: no module and no folder needs what needs it, also where it imports late."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gluon_ssd

PACKAGE = Path(gluon_ssd.__file__).parent
# From what needs most to what needs least. A folder or module may import what stands in a later row.
LEVELS = [
    "main __main__ horovodrun",
    "published",
    "cli",
    "demo selfcheck convert benchmark loadgen prediction",
    "training",
    "serving",
    "predict",
    "export outputs",
    "detections",
    "report",
    "weights",
    "runtimes",
    "device plugins",
    "model_zoo",
    "runs",
    "recipe console",
    "data anchors losses postprocess targets",
    "nn environment",
    "ops tensor_files boxes machine values resources",
    "folders",
    "files launch lazy",
    "errors locks",
    "platforms version compat",
]
LEVEL = {name: row for row, names in enumerate(LEVELS) for name in names.split()}


def module_name(path: Path) -> str:
    parts = ["gluon_ssd", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(name: str, path: Path) -> set[str]:
    """Modules of this package that a module imports anywhere but for types; "from . import x" counts as x."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in for_types:
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= (names & MODULES.keys()) or {base}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & MODULES.keys()) - {name}


IMPORTS = {name: imported(name, path) for name, path in MODULES.items()}


def room(module: str) -> str:
    """The folder or module right below the package that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of a circle, first and last the same; none: []."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph[node]):
            found = visit(other, [*path, node])
            if found:
                return found
        done.add(node)
        return []

    return next((found for found in (visit(node, []) for node in sorted(graph)) if found), [])


def test_no_module_imports_what_imports_it():
    assert circle(IMPORTS) == []


def test_no_folder_needs_one_that_needs_it():
    graph: dict[str, set[str]] = {room(name): set() for name in MODULES}
    for name, others in IMPORTS.items():
        graph[room(name)] |= {room(other) for other in others if room(other) != room(name)}
    # The package itself only names what it offers.
    del graph[""]
    assert circle({name: others - {""} for name, others in graph.items()}) == []


def test_every_room_has_its_level():
    assert {room(name) for name in MODULES} - {""} == LEVEL.keys()


@pytest.mark.parametrize("name", [name for name in MODULES if room(name)])
def test_imports_go_downwards(name):
    below = {other for other in IMPORTS[name] if room(other) and room(other) != room(name)}
    assert {other for other in below if LEVEL[room(other)] <= LEVEL[room(name)]} == set()


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
