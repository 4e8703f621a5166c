"""OpenVINO's files."""

import numpy as np
import pytest
from random_nets import network

pytest.importorskip("onnx", reason='onnx is not installed: pip install "gluon_ssd[onnx]"')
pytest.importorskip("openvino", reason='openvino is not installed: pip install "gluon_ssd[openvino]"')

from gluon_ssd import Detector
from gluon_ssd.data.shapes import make_picture
from gluon_ssd.errors import UserError
from gluon_ssd.export import proof, to_openvino

PICTURES = [make_picture(np.random.default_rng(seed))[0] for seed in range(2)]
SETTINGS = {"score_threshold": 0.01, "max_detections": 20}


def test_a_detector_takes_them(tmp_path):
    net = network("ssd_tiny")
    options = {"detections": True, "settings": SETTINGS, "preprocess": True}
    made = to_openvino(net, tmp_path / "a.xml", **options)
    assert made.lines[1].startswith("openvino, 8 images")
    assert made.lines[1].endswith("160 of 160 detections the same")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.xml"]
    picture = make_picture(np.random.default_rng(3))[0]
    ours, theirs = Detector(net, **SETTINGS)(picture), Detector(tmp_path / "a.xml")(picture)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0, atol=1e-5)
    assert ours.names == theirs.names


def test_group_norms(tmp_path):
    net = network("retinanet_resnet50_v2")
    made = to_openvino(net, tmp_path / "a.xml", input_size=(128, 160), batch=1, images=PICTURES)
    assert made.lines[1].startswith("openvino, 2 images, largest difference")


def test_what_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "OUTPUT_LIMIT", 1e-12)
    with pytest.raises(UserError, match="a.xml: not written"):
        to_openvino(network("ssd_tiny"), tmp_path / "a.xml")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(UserError, match="a.xml: cannot be written"):
        to_openvino(network("ssd_tiny"), tmp_path / "a.xml", prove=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_what_openvino_says_of_a_full_disk_names_no_temporary_folder(tmp_path, monkeypatch):
    import openvino

    def full(model, path, compress_to_fp16):
        raise RuntimeError(f"Can't open bin file: {path}")

    monkeypatch.setattr(openvino, "save_model", full)
    with pytest.raises(UserError, match="a.xml: cannot be written") as caught:
        to_openvino(network("ssd_tiny"), tmp_path / "a.xml", prove=False)
    assert f"Can't open bin file: {tmp_path}/a.xml" in str(caught.value)
