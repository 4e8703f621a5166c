"""Nothing outside a family's own files asks which family of detectors a network is of."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gluon_ssd
from gluon_ssd.model_zoo import list_models, model_row

PACKAGE = Path(gluon_ssd.__file__).parent
FAMILIES = ("ssd", "ssdlite", "retinanet")
FAMILY_FILES = {f"model_zoo/{name}{suffix}.py" for name in FAMILIES for suffix in ("", "_models")} | {
    "model_zoo/gluoncv_ssd.py",
    "model_zoo/gluoncv_ssd_models.py",
    "model_zoo/ssd_vgg.py",
    "model_zoo/ssdlite_mobilenet.py",
}
# The published systems' command lines are translated here, whose options speak of their models.
PUBLISHED = {"main.py"}
# The names of augmentations, one of which is that of the SSD paper.
ALLOWED = {("data/transforms.py", "'ssd' is a key of a table")}
CLASSES = {"SSD", "RetinaNet", "MultiBoxLoss", "RetinaLoss", "SSDPostprocess", "RetinaPostprocess"}
DETECTORS = [model_row(name) for name in list_models("detector")]
NAMES = {row.name for row in DETECTORS} | {row.family for row in DETECTORS}


def names_family(node: ast.AST) -> bool:
    texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return any(isinstance(text, str) and text.lower().startswith(("ssd", "retinanet")) for text in texts)


def questions(code: str) -> list[str]:
    """Places of ``code`` that depend on a family."""
    found = []
    for node in ast.walk(ast.parse(code)):
        function = node.func if isinstance(node, ast.Call) else None
        called = getattr(function, "attr", getattr(function, "id", ""))
        if isinstance(node, (ast.Compare, ast.If, ast.IfExp)):
            condition = node if isinstance(node, ast.Compare) else node.test
            found += [f"{ast.unparse(condition)} is a condition"] * names_family(condition)
        elif called in ("startswith", "endswith", "fullmatch", "match"):
            found += [f"{ast.unparse(node)} is a condition"] * any(map(names_family, node.args))
        elif called in ("isinstance", "issubclass"):
            named = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            found += [f"{ast.unparse(node)} asks for a class"] * bool(named & CLASSES)
        elif isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            found += [f"{key!r} is a key of a table" for key in keys if key in NAMES]
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[-1]
            found += [f"{module} is imported"] * (f"model_zoo/{module}.py" in FAMILY_FILES)
    return found


def test_nothing_asks_for_a_family():
    asked = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in FAMILY_FILES | PUBLISHED and not name.startswith("published/"):
            asked |= {(name, question) for question in questions(path.read_text(encoding="utf-8"))}
    assert asked == ALLOWED


@pytest.mark.parametrize(
    "code",
    [
        "if row.family == 'ssd': pass",
        "x = 1 if net.model_name in ('retinanet_resnet50',) else 2",
        "name.startswith('ssd_')",
        "isinstance(net, (RetinaNet, int))",
        "TABLE = {'ssd_resnet34': 1}",
        "LATEST = {'retinanet': '5.1.0'}",
        "from ..model_zoo.retinanet_models import CONFIGS",
    ],
)
def test_the_search_finds_what_it_should(code):
    assert questions(code)


def test_the_search_leaves_other_code_alone():
    code = "def f(model='ssd_tiny'):\n    'SSD'\n    if model: print('ssd')\n    return {'name': 'ssd'}"
    assert not questions(code)
