"""PyTorch modules: they need nothing but torch, and are traced and exported further."""

import importlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from random_nets import network

pytest.importorskip("onnx", reason='onnx is not installed: pip install "gluon_ssd[onnx]"')
pytest.importorskip("torch", reason='torch is not installed: pip install "gluon_ssd[torch]"')

from gluon_ssd import Detector, get_model
from gluon_ssd.errors import UserError
from gluon_ssd.export import proof, to_torch
from gluon_ssd.export.proof import same_detections

SETTINGS = {"score_threshold": 0.01, "max_detections": 20}
PICTURE = np.random.RandomState(1).randint(0, 256, (100, 120, 3)).astype(np.uint8)
IMAGES = np.random.RandomState(0).randn(3, 3, 192, 192).astype(np.float32)


def outside(folder, code):
    """Runs Python in ``folder``, where gluon_ssd and mxnet cannot be imported."""
    hidden = "import sys; sys.modules.update(dict.fromkeys(('gluon_ssd', 'mxnet', 'onnx')))\n"
    start = "import numpy, torch, warnings; warnings.simplefilter('ignore')\nfrom model import load\n"
    start += "model, images = load('model.pth'), torch.from_numpy(numpy.load('images.npy'))\n"
    np.save(folder / "images.npy", IMAGES)
    command = [sys.executable, "-c", hidden + start + code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "found.npz"))


def test_raw_outputs_of_traced_and_exported_modules(tmp_path):
    net = network("ssd_tiny")
    made = to_torch(net, tmp_path / "model.py")
    assert made.lines[1].startswith("torch, 8 images") and "cls_preds" in made.lines[1]
    found = outside(
        tmp_path,
        "traced = torch.jit.trace(model, images[:1])\n"
        "any_batch = {'images': {0: torch.export.Dim('n', min=1)}}\n"
        "exported = torch.export.export(model, (images[:2],), dynamic_shapes=any_batch).module()\n"
        "outputs = {name: one(images)[0].numpy() for name, one in "
        "{'plain': model, 'traced': traced, 'exported': exported}.items()}\n"
        "numpy.savez('found.npz', **outputs)",
    )
    import mxnet as mx

    wanted = net(mx.nd.array(IMAGES))[0].asnumpy()
    assert set(found) == {"plain", "traced", "exported"}
    for value in found.values():
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["ssd_tiny", "retinanet_resnet50_v2"])
def test_detections(tmp_path, name):
    """A tracing at one batch holds for others: how much is suppressed depends on the images."""
    net = network(name)
    size = {} if net.fixed_size else {"input_size": (192, 192)}
    made = to_torch(net, tmp_path / "model.py", detections=True, settings=SETTINGS, images=[PICTURE], **size)
    assert made.lines[1].endswith("20 of 20 detections the same")
    code = "boxes, scores, names, count = torch.jit.trace(model, images[:1])(images)\n"
    code += "numpy.savez('found.npz', boxes=boxes, scores=scores, names=names)"
    found = outside(tmp_path, code)
    net.preprocess = replace(net.preprocess, size=(192, 192))
    class_ids, scores, boxes = (part.asnumpy() for part in Detector(net, **SETTINGS).detect_batch(IMAGES))
    rows = zip(class_ids, scores, boxes), zip(found["names"], found["scores"], found["boxes"] / 192)
    # Noise gives scores that are nearly equal: one of the last may be another.
    assert min(same_detections(*pair)[0] for pair in zip(*rows)) >= 19


def test_classes_keep_their_names(tmp_path, monkeypatch):
    """JSON has two escapes for a character like an emoji, which Python would take for two characters."""
    names = ("\U0001f600", "it's \"b\" {c}", "\u00e9\\n")
    to_torch(get_model("ssd_tiny", classes=names), tmp_path / "named.py", prove=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert tuple(importlib.import_module("named").CLASSES) == names


def test_what_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "OUTPUT_LIMIT", 1e-12)
    with pytest.raises(UserError, match="model.py: not written"):
        to_torch(network("ssd_tiny"), tmp_path / "model.py")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.pth", {}, "the name of such a file ends in .py"),
        ("my-model.py", {}, "Python cannot import a module of this name"),
        ("model.py", {"batch": 2}, "a module is float32 and takes batches of any size"),
    ],
)
def test_what_cannot_be(tmp_path, name, options, message):
    with pytest.raises(UserError) as caught:
        to_torch(network("ssd_tiny"), tmp_path / name, **options)
    assert message in str(caught.value)
