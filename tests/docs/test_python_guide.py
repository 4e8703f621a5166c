"""The code of docs/python.md and of README.md runs as it stands, on few images and for few steps."""

import re

import pytest
from places import REPOSITORY

import gluon_ssd
from gluon_ssd.training import train as train_module


def code(name, *sections):
    """The pieces of Python in a page, or in sections of it."""
    parts = re.split(r"^## (.*)$", (REPOSITORY / name).read_text(encoding="utf-8"), flags=re.M)
    texts = dict(zip(parts[1::2], parts[2::2]))
    chosen = "".join(texts[title] for title in sections or texts)
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", chosen, re.M | re.S))


@pytest.fixture
def folder(shapes, small_run, tmp_path, monkeypatch):
    """A folder with all that the code names, where trainings are short."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_set").symlink_to(shapes)
    (tmp_path / "photo.jpg").symlink_to(next((shapes / "val").glob("*.jpg")))
    (tmp_path / "runs/demo").mkdir(parents=True)
    (tmp_path / "runs/demo/run").symlink_to(small_run)

    def short(recipe, **keys):
        few = {"epochs": 4, "max_steps": 4, "batch_size": 10, "limit_val": 2}
        return train_module.train(recipe, **{**keys, **few})

    monkeypatch.setattr(gluon_ssd, "train", short, raising=False)
    return tmp_path


def test_the_guide(folder, capsys):
    exec(code("docs/python.md"), {})
    out = capsys.readouterr().out
    assert "<Detections " in out
    assert (folder / "annotated.jpg").is_file()
    assert (folder / "runs/stopped/checkpoints/best.ckpt").is_file()


def test_the_readme(folder):
    exec(code("README.md", "Detect in Python", "Train in Python"), {})
    assert (folder / "annotated.jpg").is_file()
    assert (folder / "runs/ssd_tiny-1/checkpoints/last.ckpt").is_file()


def test_the_guide_names_every_event():
    guide = (REPOSITORY / "docs/python.md").read_text(encoding="utf-8")
    for event in (name for name in vars(gluon_ssd.Callback) if not name.startswith("_")):
        assert f"| `{event}(" in guide
