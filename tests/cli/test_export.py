"""``gluon-ssd export``."""

import pytest
from small import refused

for name in ("onnx", "onnxruntime"):
    pytest.importorskip(name, reason=f'{name} is not installed: pip install "gluon_ssd[{name}]"')


def test_a_run_leaves_with_its_proof(cli, small_run, shapes, tmp_path):
    done = cli(
        *("export", small_run, "--format", "onnx", "--output", "model.onnx", "--detections", "--preprocess"),
        *("--score-threshold", 0.01, "--max-detections", 20, "--images", shapes / "val"),
    )
    assert (done.status, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert first.startswith("model.onnx: ONNX, opset 17, ") and "from uint8 (N, 192, 192, 3)" in first
    assert second.startswith("onnxruntime, 4 images, ") and second.endswith("80 of 80 detections the same")
    given = ("--weights", "model.onnx", "--score-threshold", 0.02, "--output", "p")
    found = cli("predict", shapes / "val", *given)
    assert found.status == 0 and "4 images" in found.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--format onnx --output a.xml", "a.xml: the name of such a file ends in .onnx"),
        ("--format onnx --output a.onnx --score-threshold 0.1", "--score-threshold is for --detections"),
        ("--format onnx --output a.onnx --batch 0", "--batch is '0'; give a number of images, or dynamic"),
        ("--format onnx --output a.onnx --input-size 64 64", "takes inputs of (192, 192) alone"),
        ("--format onnx --output a.onnx --images none", "none: no such file or folder"),
        ("--format onnx --output a.onnx --images camera:1", "--images: camera 1 is no picture"),
        ("--format symbol --output .", ".: is a folder; name what both files start with, such as model"),
        ("--format symbol --output ./", "./: is a folder; "),
        ("--format symbol --output a --preprocess", "a symbol is float32 and takes normalised batches"),
        ("--format coreml --output a", "invalid choice: 'coreml'"),
    ],
)
def test_one_line_says_what_is_wrong(cli, small_run, tmp_path, flags, message):
    refused(cli("export", small_run, *flags.split()), message)
    assert list(tmp_path.iterdir()) == []


def test_without_a_checkpoint(cli):
    refused(cli("export", "none", "--format", "onnx", "--output", "a.onnx"), "none: no such checkpoint")


def test_convert_points_here(cli, small_run):
    refused(cli("convert", small_run, "a.onnx"), "a.onnx: ", "gluon-ssd export")
