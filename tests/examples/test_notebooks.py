"""The notebooks run from beginning to end, on fewer pictures, and are stored without outputs."""

import json

import pytest
from places import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "examples").glob("*.ipynb"))
LESS = {"PICTURES, EPOCHS = 200, 12": "PICTURES, EPOCHS = 16, 1"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_listed_and_stored_without_outputs(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    page = (REPOSITORY / "docs/examples.md").read_text(encoding="utf-8")
    assert f"[{path.name}](../examples/{path.name})" in page
    assert path.suffix.strip(".") in (REPOSITORY / "MANIFEST.in").read_text(encoding="utf-8")


@pytest.mark.once
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason='needs: pip install "gluon_ssd[notebooks]"')
    if "onnx" in path.read_text(encoding="utf-8"):
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package, reason='needs: pip install "gluon_ssd[onnx]"')
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        for whole, few in LESS.items():
            cell.source = cell.source.replace(whole, few)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in shown)
