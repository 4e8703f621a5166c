"""A checkpoint scored in another precision than it was trained in."""

import numpy as np

from gluon_ssd.engine.evaluate import validate


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
