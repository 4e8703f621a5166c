"""The page of a run and of several: all of it in one file, made from what is in the folder alone."""

import json
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gluon_ssd.errors import UserError
from gluon_ssd.report.pages import file_as_data
from gluon_ssd.report.run_files import read_run
from gluon_ssd.report.run_page import comparison_page, run_page, write_report


class Elements(HTMLParser):
    """The tags of a page with their attributes, its text, and the tags that are open at its end."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(small_run):
    return Elements((small_run / "report.html").read_text())


def test_a_training_leaves_its_page(page, small_run):
    assert page.open == []
    links = {attrs["href"][1:] for attrs in page.all("a")}
    assert links == {"training", "scores", "classes", "confusion", "errors", "images", "setup"}
    assert links <= {attrs.get("id") for attrs in page.all("h2")}
    assert len(page.all("svg")) == 6
    for text in ("AP by size", "ssd_tiny", "mxnet", "Where the time went", "circle", "background", "TIDE"):
        assert text in page.text


def test_every_count_says_at_which_score(page, small_run):
    threshold = json.loads((small_run / "val/report.json").read_text())["threshold"]
    text = " ".join(page.text.split())
    assert f"Objects by size, found at a score of {threshold:.2f} or more" in text
    assert f"counted at another score threshold, {threshold:.2f}, so" in text
    assert f"with a score of at least {threshold:.2f} are drawn and counted" in text
    assert "AP and AP50 are of detections of any score." in text


def test_it_needs_no_network_and_no_other_file(page):
    for _, attrs in page.tags:
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:image/jpeg;base64,"))
    assert not page.all("link")
    # Twelve at random of four are four, each with the truth beside it; two steps leave all of them bad.
    assert len(page.all("img")) == 2 * (4 + 4) + 1


def test_it_is_made_again_from_the_folder_alone(cli, small_run, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "small")
    before = (run / "report.html").read_text()
    (run / "report.html").unlink()
    shutil.rmtree(run / "checkpoints")
    assert cli("report", run) == (0, f"{run}/report.html\n", "")
    assert (run / "report.html").read_text() == before.replace(f"<dd>{small_run}</dd>", f"<dd>{run}</dd>")


def test_names_of_classes_and_files_are_text(small_run, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    report = run / "val/report.json"
    evil = "<script>alert(1)</script>"
    report.write_text(report.read_text().replace('"circle"', json.dumps(evil)))
    elements = Elements(run_page(read_run(run)))
    assert evil in elements.text
    assert len(elements.all("script")) == 1


def test_an_evaluation_outside_of_a_run_has_a_page_of_its_own(cli, small_run, tmp_path):
    result = cli("val", small_run, "--split", "train", "--limit", 3, "--output", "out")
    assert result.out.endswith("page: out/report.html\n")
    page = Elements((tmp_path / "out/report.html").read_text())
    assert "gluon_ssd evaluation" in page.text and "3 images" in page.text
    assert str(small_run) in page.text
    # That of the run still shows its own.
    assert "4 images" in Elements((small_run / "report.html").read_text()).text


def test_runs_beside_each_other(cli, small_run, tmp_path):
    other = shutil.copytree(small_run, tmp_path / "other")
    recipe = (other / "recipe.yaml").read_text()
    (other / "recipe.yaml").write_text(recipe.replace("seed: 0", "seed: 7"))
    shutil.rmtree(other / "val")
    out = cli("report", small_run, other).out
    assert out.endswith("compared in runs/compare-1/report.html\n")
    page = Elements((tmp_path / "runs/compare-1/report.html").read_text())
    assert page.open == []
    assert "seed" in page.text and "not evaluated" in page.text
    assert cli("report", small_run, small_run, "--output", "here").status == 0
    assert (tmp_path / "here/report.html").is_file()
    assert comparison_page([read_run(small_run), read_run(other)]).count("<svg") == 2


def test_a_run_of_an_older_version_shows_what_it_has(small_run, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "old")
    shutil.rmtree(run / "val")
    (run / "run.json").unlink()
    (run / "val").mkdir()
    (run / "val/report.json").write_text('{"format": 0}')
    (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text() + "a_key_of_old: 1\n")
    text = Elements(write_report(run).read_text()).text
    assert "gluon-ssd val" in text and "Learning rate" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (None, "", "nowhere: is no folder; name the folder of a run"),
        ("notes.txt", "", "nowhere: holds neither recipe.yaml nor report.json"),
        ("report.json", "{", "nowhere/report.json: cannot be read"),
        ("report.json", "{}", "nowhere: holds neither recipe.yaml nor report.json"),
        ("report.json", "[]", "nowhere: holds neither recipe.yaml nor report.json"),
        ("recipe.yaml", "a: [", "nowhere/recipe.yaml: cannot be read"),
        ("recipe.yaml", "[" * 5000, "nowhere/recipe.yaml: cannot be read"),
        ("recipe.yaml", "a", "nowhere/recipe.yaml: is no recipe"),
        ("report.json", "[" * 200_000, "nowhere/report.json: cannot be read"),
    ],
)
def test_a_folder_without_a_run(cli, tmp_path, name, content, message):
    if name:
        (tmp_path / "nowhere").mkdir()
        (tmp_path / "nowhere" / name).write_text(content)
    result = cli("report", "nowhere")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"error: {message}") and result.err.count("\n") == 1
    if name:
        with pytest.raises(UserError):
            read_run(tmp_path / "nowhere")


def test_a_checkpoint_stands_for_its_run(cli, small_run, tmp_path, monkeypatch):
    run = shutil.copytree(small_run, tmp_path / "run")
    for place in (tmp_path, run / "checkpoints"):
        monkeypatch.chdir(place)
        (run / "report.html").unlink()
        result = cli("report", os.path.relpath(run / "checkpoints/best.ckpt"))
        assert (result.status, result.out) == (0, f"{run}/report.html\n")
        assert (run / "report.html").is_file()


@pytest.mark.parametrize("content", ["1", "{}", '{"sessions": [{"started": "now"}]}'])
def test_a_record_of_other_content_is_named(small_run, tmp_path, content):
    run = shutil.copytree(small_run, tmp_path / "run")
    (run / "run.json").write_text(content)
    with pytest.raises(UserError, match="run.json: is not as a training writes it; delete it"):
        write_report(run)


def test_a_page_of_one_run_has_no_other_place(cli, small_run):
    assert cli("report", small_run, "--output", "here").status == 2


@pytest.mark.parametrize("error", [None, OSError(5, "Input/output error")])
def test_a_picture_that_goes_or_cannot_be_read(tmp_path, monkeypatch, error):
    picture = tmp_path / "train_batch.jpg"
    picture.touch()

    def read(path):
        raise error or FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "read_bytes", read)
    if error is None:
        assert file_as_data(picture) is None
        return
    with pytest.raises(UserError, match="train_batch.jpg: cannot be read: Input/output error"):
        file_as_data(picture)
