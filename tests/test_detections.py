"""Detections: choosing among them, handing them on, and their picture."""

import importlib.util
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageShow
from small import picture

from gluon_ssd import Detections, UserError
from gluon_ssd.detections import Detection

BOXES = [[1, 2, 30.5, 40], [5, 6, 7, 8], [0, 0, 64, 48]]


@pytest.fixture
def found():
    return detections(picture(64, 48))


def detections(source):
    scores = np.array([0.9, 0.5, 0.25], np.float32)
    return Detections(np.array(BOXES, np.float32), scores, np.array([1, 0, 1]), ("cat", "dog", "owl"), source)


def none(source=None):
    return detections(picture(64, 48) if source is None else source)[:0]


def test_a_loop_gives_each_detection(found):
    first, second, third = found
    assert first == Detection((1.0, 2.0, 30.5, 40.0), np.float32(0.9), 1, "dog")
    assert (second.name, second.score, second.xyxy) == ("cat", 0.5, (5, 6, 7, 8))
    assert found[2] == found[-1] == found[np.int64(2)] == third
    assert json.dumps(second) == '[[5.0, 6.0, 7.0, 8.0], 0.5, 0, "cat"]'
    for index in (3, -4):
        with pytest.raises(IndexError):
            found[index]


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (slice(1, None), ["cat", "dog"]),
        (slice(None, None, -1), ["dog", "cat", "dog"]),
        ([2, 0], ["dog", "dog"]),
        (np.array([1]), ["cat"]),
        ([True, False, False], ["dog"]),
        (np.array([False, True, True]), ["cat", "dog"]),
        ([], []),
        (np.zeros(3, bool), []),
    ],
)
def test_slices_masks_and_lists_give_detections(found, index, names):
    chosen = found[index]
    assert isinstance(chosen, Detections)
    assert chosen.names == names
    assert chosen.xyxy.shape == (len(names), 4) and chosen.xyxy.dtype == np.float32
    assert chosen.image is found.image


def test_a_mask_of_scores(found):
    assert found[found.scores > 0.3].names == ["dog", "cat"]
    assert len(none()[none().scores > 0.3]) == 0


@pytest.mark.parametrize("index", ["dog", 0.5, (0, 1, 2.5), None, np.zeros((3, 4), bool), np.array([[0, 1]])])
def test_what_is_no_index(found, index):
    with pytest.raises(TypeError, match="by an integer, a slice, a boolean mask or a list"):
        found[index]


@pytest.mark.parametrize("index", [[3], [True, False]])
def test_an_index_or_a_mask_that_does_not_fit(found, index):
    with pytest.raises(IndexError):
        found[index]


def test_classes_by_name(found):
    assert found.only("dog").xyxy.tolist() == [BOXES[0], BOXES[2]]
    assert found.only(["dog", "cat"]).names == ["dog", "cat", "dog"]
    assert len(found.only("owl")) == len(found.only([])) == 0
    with pytest.raises(UserError, match="^unknown class 'Dogs'; did you mean dog[?]$"):
        found.only(["cat", "Dogs"])


def test_length_and_truth(found):
    assert (len(found), bool(found), len(none()), bool(none())) == (3, True, 0, False)


def test_texts_count_and_hold_no_pixels(found):
    assert repr(found) == "<Detections 3: 2 dog, 1 cat>"
    assert str(found) == "2 dog, 1 cat"
    assert repr(none()) == "<Detections 0: nothing found>"
    assert repr([found[:1]]) == "[<Detections 1: 1 dog>]"


def test_plain_values_and_json(found):
    first = found.to_dict()[0]
    assert first == {"name": "dog", "class_id": 1, "score": 0.9, "xyxy": [1, 2, 30.5, 40]}
    assert json.loads(found.to_json()) == found.to_dict()
    assert found.to_json(indent=1).startswith('[\n {\n  "name": "dog",\n')
    assert none().to_json() == "[]"


@pytest.mark.parametrize("count", [3, 0])
def test_to_supervision(found, count):
    if importlib.util.find_spec("supervision") is None:
        pytest.skip('supervision is not installed: pip install "gluon_ssd[supervision]"')
    theirs = found[:count].to_supervision()
    assert len(theirs) == count
    np.testing.assert_array_equal(theirs.xyxy, found.xyxy[:count])
    np.testing.assert_array_equal(theirs.confidence, found.scores[:count])
    np.testing.assert_array_equal(theirs.class_id, found.class_ids[:count])
    assert theirs["class_name"].tolist() == found.names[:count]
    assert len(theirs[theirs.class_id == 1]) == (2 if count else 0)


def test_without_supervision_the_error_names_the_extra(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match=r'pip install "gluon_ssd\[supervision\]"$'):
        found.to_supervision()


def test_the_picture_of_a_path_is_read_when_it_is_wanted(tmp_path):
    path = tmp_path / "photo.png"
    found = detections(path)
    with pytest.raises(UserError, match="photo.png: cannot be read"):
        found.plot()
    Image.fromarray(picture(64, 48)).save(path)
    assert np.array_equal(found.image, picture(64, 48))
    assert found.plot(scale=2).shape == (96, 128, 3)


def test_saving(found, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    found.save("~/a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), found.plot())
    assert not np.array_equal(found.plot(), found.image)
    with pytest.raises(UserError, match="a.xyz: the picture cannot be written: "):
        found.save(tmp_path / "a.xyz")
    with pytest.raises(UserError, match="a.png: cannot be written: "):
        found.save(tmp_path / "gone" / "a.png")


def test_a_picture_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(found, tmp_path, monkeypatch):
    target = tmp_path / "a.png"
    target.write_bytes(b"before")

    def disk_full(self, path, kind, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(UserError, match=r"a.png: cannot be written: No space left on device"):
        found.save(target)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": b"before"}


def test_a_notebook_shows_a_picture_of_moderate_size(found):
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found._repr_png_()))), found.plot())
    large = none(picture(3000, 1500))
    assert Image.open(io.BytesIO(large._repr_png_())).size == (1024, 512)


def test_show_opens_a_viewer(found, monkeypatch):
    shown = []
    monkeypatch.setattr(ImageShow, "show", lambda image: shown.append(image) or True)
    found.show()
    assert np.array_equal(np.asarray(shown[0]), found.plot())
    monkeypatch.setattr(ImageShow, "show", lambda image: False)
    with pytest.raises(UserError, match="use save"):
        found.show()


def test_show_in_a_notebook_displays_it(found, monkeypatch):
    shown = []
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown.append))
    found.show()
    assert shown == [found]
