"""Formats that register themselves, how one is recognised, and the example of a format of one's own."""

import runpy
import sys

import pytest
from label_files import rows_of, voc_xml
from places import REPOSITORY
from small import refused

from gluon_ssd.data.formats import Format, list_formats, register_format, registry
from gluon_ssd.data.opening import open_dataset

EXAMPLE = REPOSITORY / "examples" / "format.py"


@pytest.fixture
def example(monkeypatch):
    """The example, started with these arguments; what it registers is forgotten afterwards."""
    monkeypatch.setattr(registry, "_FORMATS", dict(registry._FORMATS))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(EXAMPLE), run_name="__main__")
        return ended.value.code

    return run


def test_the_formats_that_come_with_the_library():
    known = ["coco", "voc", "yolo", "darknet", "openimages", "labelme", "tf_csv", "via"]
    assert list_formats()[: len(known)] == known


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="a format 'coco' is registered already"):

        @register_format
        class Mine(Format):
            name = "coco"


def test_a_format_of_ones_own_is_read_written_and_trained_on(example, image, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image(tmp_path / "mine" / "a.jpg")
    (tmp_path / "mine" / "boxes.txt").write_text("a.jpg\tcat\t10\t20\t30\t50\na.jpg\tdog\t0\t0\t90\t60")
    assert example("convert-data", "mine", "coco") == 0
    assert "boxes over the image's border, clipped: 1" in capfd.readouterr().out
    assert rows_of(tmp_path / "coco", "train") == [
        ("a.jpg", "cat", [10, 20, 20, 30], 0),
        ("a.jpg", "dog", [0, 0, 80, 60], 0),
    ]
    assert open_dataset(tmp_path / "mine", "train").records[0].boxes[0].tolist() == [10, 20, 30, 50]
    assert example("convert-data", "coco", "back", "--to", "boxes") == 0
    assert (tmp_path / "back" / "boxes.txt").read_text().splitlines()[
        0
    ] == "train_a.jpg\tcat\t10.0\t20.0\t30.0\t50.0"
    assert (tmp_path / "back" / "train_a.jpg").is_file()


def test_unknown_names_and_formats_that_are_only_read(cli, voc, tmp_path):
    refused(cli("convert-data", "voc", "out", "--from", "vok"), "unknown format 'vok'; did you mean voc?")
    refused(cli("convert-data", "voc", "out", "--to", "via"), "via: can be read, but is not written")
    assert not (tmp_path / "out").exists()


def test_what_is_found_where_nothing_is_recognised(cli, image, tmp_path):
    for name in ("a", "b"):
        image(tmp_path / "a pile" / "deep" / "pictures" / f"{name}.jpg")
        (tmp_path / "a pile" / "deep" / "texts").mkdir(exist_ok=True)
        (tmp_path / "a pile" / "deep" / "texts" / f"{name}.xml").write_text(voc_xml(("cat", (1, 1, 2, 2))))
    for verb in (("convert-data", "a pile", "out"), ("check", "a pile"), ("train", "--data", "a pile")):
        refused(
            cli(*verb),
            "a pile: no labels found in a layout that is known; it holds 2 images, 2 .xml files; the nearest",
            "format is voc (Annotations/*.xml and JPEGImages/",
            "try: gluon-ssd convert-data 'a pile' NEW --from voc",
        )


def test_two_formats_that_are_equally_sure(cli, voc):
    (voc / "data.yaml").write_text("names: [a]\n")
    refused(cli("convert-data", "voc", "out"), "holds labels of voc and yolo; choose with --from")
