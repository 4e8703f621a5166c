"""A checkpoint scored with other settings than those it was trained with."""

import numpy as np
import pytest
from small import refused

from gluon_ssd.tensor_files.archive import read_archive, write_archive
from gluon_ssd.training.evaluate import validate


@pytest.fixture
def with_three(small_run, tmp_path):
    """A checkpoint whose training kept three detections per image, all that score above 0.0001."""
    arrays, state = read_archive(small_run / "checkpoints/best.ckpt")
    state["recipe"].update(max_detections=3, score_threshold=0.0001)
    write_archive(tmp_path / "three.ckpt", arrays, state)
    return tmp_path / "three.ckpt"


def detections(checkpoint, shapes, **settings):
    scored = validate(checkpoint, data=str(shapes), **settings)
    return [len(scores) for _, scores, _ in scored.detections.values()]


def test_a_checkpoint_is_scored_as_its_training_scored_itself(with_three, shapes):
    assert set(detections(with_three, shapes)) == {3}


def test_what_is_asked_for_wins(with_three, shapes):
    assert set(detections(with_three, shapes, max_detections=5)) == {5}
    assert set(detections(with_three, shapes, score_threshold=0.99)) == {0}


def test_the_command_line_leaves_them_to_the_recipe(cli, with_three, shapes):
    done = cli("val", with_three, "--data", shapes, "--limit", 2)
    assert done.status == 0 and "2 images evaluated, 6 detections" in done.out, done.err


def test_float16_detects_what_float32_does_but_for_rounding(small_run, shapes, tmp_path):
    found = {}
    for precision in ("fp32", "fp16"):
        folder = str(tmp_path / precision)
        scored = validate(
            small_run, data=str(shapes), output=folder, score_threshold=0.001, precision=precision
        )
        found[precision] = [scores[:5] for _, scores, _ in scored.detections.values()]
    for single, half in zip(found["fp32"], found["fp16"]):
        np.testing.assert_allclose(half, single, rtol=0.02)
    assert any((single != half).any() for single, half in zip(found["fp32"], found["fp16"]))


def test_val_names_the_precisions(cli, small_run):
    done = cli("val", small_run, "--precision", "amp")
    assert done.status == 2 and "fp32" in done.err and done.err.count("\n") == 1


@pytest.mark.parametrize(("weights", "runtime"), [("run", "torch"), ("model.onnx", "auto")])
def test_float16_is_of_mxnet_alone(cli, weights, runtime):
    refused(
        cli("val", weights, "--runtime", runtime, "--precision", "fp16"),
        "precision fp16: MXNet alone computes in it, and it runs no exported file",
    )
