"""Detectors in other runtimes: the same results, and what a file can be asked for."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from random_nets import network
from small import picture, refused

from gluon_ssd import Detector, UserError, load
from gluon_ssd.data import open_dataset
from gluon_ssd.export.proof import same_detections
from gluon_ssd.runtimes import onnxruntime_session
from gluon_ssd.runtimes.choices import PRECISIONS, SUFFIXES
from gluon_ssd.runtimes.header import Header
from gluon_ssd.training.evaluate import evaluate

pytest.importorskip("onnx", reason='onnx is not installed: pip install "gluon_ssd[onnx]"')

OPTIONS = {"score_threshold": 0.01, "max_detections": 40}
PHOTOS = [picture(90, 60), picture(31, 77, 1), picture(200, 150, 2)]


@pytest.fixture(params=SUFFIXES)
def runtime(request):
    pytest.importorskip(request.param, reason=f'pip install "gluon_ssd[{request.param}]"')
    return request.param


@pytest.fixture(scope="module")
def exported(small_run, tmp_path_factory):
    """ONNX files of one run: of raw outputs, and with detections of pixels, three at a time."""
    from gluon_ssd.export import to_onnx

    folder = tmp_path_factory.mktemp("exported")
    to_onnx(small_run, folder / "raw.onnx", prove=False)
    settings = {"detections": True, "settings": OPTIONS, "prove": False}
    to_onnx(small_run, folder / "boxes.onnx", **settings)
    to_onnx(small_run, folder / "pixels.onnx", preprocess=True, batch=3, **settings)
    return folder


def test_a_file_knows_the_best_threshold_of_its_training(tmp_path, runtime):
    """Where the file was made with a higher one, it has nothing below that."""
    from gluon_ssd.export import to_onnx

    net = network("ssd_tiny")
    for best, made_with, wanted in ((0.42, 0.1, 0.42), (0.42, 0.5, 0.5), (None, 0.1, 0.3)):
        net.best_threshold, path = best, tmp_path / f"{best}-{made_with}.onnx"
        to_onnx(net, path, prove=False, detections=True, settings={"score_threshold": made_with})
        found = Detector(path, "best", fallback_threshold=0.3, runtime=runtime)
        assert (found.score_threshold, found.last_best) == (wanted, best)
    with pytest.raises(UserError, match='score_threshold="best": .* give a number'):
        Detector(path, "best")


def agree(first, second):
    """Whether two detectors have found the same on every image."""
    for one, other in zip(first, second):
        height, width = one.image.shape[:2]
        scale = np.array([width, height, width, height])
        rows = [(found.class_ids, found.scores, found.xyxy / scale) for found in (one, other)]
        same, total, _ = same_detections(*rows)
        assert same == total > 0


@pytest.mark.parametrize("runtime", PRECISIONS)
def test_a_network_runs_in_it(runtime):
    pytest.importorskip(runtime, reason=f'pip install "gluon_ssd[{runtime}]"')
    net = network("ssd_tiny")
    agree(Detector(net, **OPTIONS)(PHOTOS), Detector(net, **OPTIONS, runtime=runtime)(PHOTOS))


@pytest.mark.parametrize("name", ["boxes.onnx", "pixels.onnx"])
def test_a_file_detects_what_its_run_does(runtime, exported, small_run, name):
    """Four images, of which the file may take three at a time."""
    photos = [*PHOTOS, picture(64, 64, 3)]
    ours = Detector(small_run, **OPTIONS)
    detector = Detector(exported / name, runtime=runtime)
    agree(ours(photos), detector(photos))
    agree([ours(photos[0])], [detector(photos[0])])
    assert detector.classes == ours.classes and detector.category_ids == ours.category_ids
    assert detector.preprocess == ours.preprocess and detector.net is None


def test_stricter_settings_are_those_of_the_network(runtime, exported, small_run):
    ours = Detector(small_run, **OPTIONS)(PHOTOS)
    middle = float(np.median(ours[0].scores))
    asked = {"score_threshold": middle, "max_detections": 10}
    found = Detector(exported / "boxes.onnx", runtime=runtime, **asked)(PHOTOS)
    agree(Detector(small_run, **asked)(PHOTOS), found)
    assert len(found[0]) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_threshold": 0.005}, "exported with score_threshold 0.01, not 0.005; export it anew"),
        ({"max_detections": 41}, "exported with max_detections 40, not 41"),
        ({"iou_threshold": 0.4}, "exported with iou_threshold 0.5, not 0.4"),
        ({"nms_candidates": 7}, "exported with candidates its model's own, not 7"),
        ({"runtime": "mxnet"}, "mxnet does not run such a file; use openvino or onnxruntime"),
        ({"runtime": "tensorrt"}, "unknown runtime 'tensorrt'"),
        ({"precision": "int3"}, "unknown precision 'int3'"),
    ],
)
def test_what_a_file_cannot_give(exported, options, message):
    pytest.importorskip("onnxruntime")
    with pytest.raises(UserError) as caught:
        Detector(exported / "boxes.onnx", **{"runtime": "onnxruntime", **options})
    assert message in str(caught.value)


def test_threads_share_a_detector(runtime, exported):
    detector = Detector(exported / "boxes.onnx", runtime=runtime)
    wanted = [detector(photo) for photo in PHOTOS]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(detector, PHOTOS * 8))
    for got, expected in zip(found, wanted * 8):
        np.testing.assert_array_equal(got.class_ids, expected.class_ids)
        np.testing.assert_allclose(got.xyxy, expected.xyxy, rtol=0, atol=1e-3)


def test_raw_outputs_are_refused(runtime, exported):
    with pytest.raises(UserError, match="raw.onnx: gives raw outputs; export it with --detections"):
        Detector(exported / "raw.onnx", runtime=runtime)


def test_damaged_files_and_those_of_others(runtime, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    (tmp_path / "damaged.onnx").write_bytes(b"\x08\x08 nothing")
    with pytest.raises(UserError, match="damaged.onnx: .* cannot read it"):
        Detector(tmp_path / "damaged.onnx", runtime=runtime)
    row = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", row[:1], row[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(UserError, match="other.onnx: was not made by gluon-ssd export"):
        Detector(tmp_path / "other.onnx", runtime=runtime)
    (tmp_path / "damaged.xml").write_text("<net></net>")
    if runtime == "openvino":
        with pytest.raises(UserError, match="damaged.xml: is no file of OpenVINO's, or damaged"):
            Detector(tmp_path / "damaged.xml")
    with pytest.raises(UserError, match="none.onnx: no such file"):
        Detector(tmp_path / "none.onnx", runtime=runtime)


@pytest.fixture
def no_gpu(monkeypatch):
    """What the runtimes see on a machine without one."""
    with contextlib.suppress(ImportError):
        import torch

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with contextlib.suppress(ImportError):
        import onnxruntime

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])


def test_no_gpu_is_told(runtime, exported, no_gpu):
    with pytest.raises(UserError, match="device gpu: .* use device cpu"):
        Detector(exported / "boxes.onnx", runtime=runtime, device="gpu")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_no_gpu_is_told_by_the_runtime_of_a_checkpoint(name, small_run, shapes, cli, no_gpu):
    """MXNet, which only hands the network over, needs none."""
    pytest.importorskip(name, reason=f'pip install "gluon_ssd[{name}]"')
    said = {"onnxruntime": "this onnxruntime has no CUDA", "openvino": "OpenVINO sees no"}
    said["torch"] = "PyTorch sees no"
    with pytest.raises(UserError, match=f"device gpu: {said[name]}.* use device cpu"):
        Detector(small_run, runtime=name, device="gpu")
    for verb in (("predict", shapes / "val", "--weights"), ("val",)):
        refused(cli(*verb, small_run, "--runtime", name, "--device", "gpu", "--output", "o"), said[name])


@pytest.mark.parametrize(
    ("device", "available", "chosen"),
    [
        ("auto", "CPU", "CPU"),
        ("auto", "TensorRT CUDA CPU", "CUDA CPU"),
        ("gpu", "CUDA CPU", "CUDA CPU"),
        ("cpu", "CUDA CPU", "CPU"),
    ],
)
def test_providers_of_onnxruntime(device, available, chosen):
    """CUDA where it is there; what CUDA cannot run, the CPU does."""
    names = [[f"{name}ExecutionProvider" for name in text.split()] for text in (available, chosen)]
    assert onnxruntime_session._providers(device, names[0]) == names[1]


@pytest.mark.parametrize(
    ("runtime", "from_file"), [("mxnet", False), ("openvino", True), ("torch", False)], ids=str
)
def test_bfloat16_is_near(exported, small_run, runtime, from_file):
    pytest.importorskip(runtime)
    source = exported / "boxes.onnx" if from_file else small_run
    found = Detector(source, **OPTIONS, runtime=runtime, precision="bf16")(PHOTOS)
    for one, other in zip(Detector(small_run, **OPTIONS)(PHOTOS), found):
        np.testing.assert_allclose(one.scores[:10], other.scores[:10], rtol=0.05)
        assert (one.scores[:10] != other.scores[:10]).any()


def test_bfloat16_of_mxnet_runs_as_a_graph(small_run):
    """Operator by operator it would take twice the time, and as long as float32."""
    runner = Detector(small_run, precision="bf16").runner
    assert runner.net._active


def test_onnxruntime_has_no_bfloat16(exported):
    pytest.importorskip("onnxruntime")
    with pytest.raises(UserError, match="runtime onnxruntime computes in fp32, not in bf16"):
        Detector(exported / "boxes.onnx", runtime="onnxruntime", precision="bf16")


def test_a_network_that_trains_on_is_not_touched(small_run):
    net = load(small_run)
    before = {name: value.data().asnumpy() for name, value in net.collect_params().items()}
    Detector(net, precision="bf16")(PHOTOS)
    assert all((value.data().asnumpy() == before[name]).all() for name, value in net.collect_params().items())
    assert Detector(net).net is net


def test_predict_and_val(runtime, exported, small_run, shapes, cli):
    ours = cli("predict", shapes / "val", "--weights", small_run, "--score-threshold", 0.02, "--output", "a")
    theirs = cli(
        *("predict", shapes / "val", "--weights", exported / "pixels.onnx", "--runtime", runtime),
        *("--score-threshold", 0.02, "--max-detections", 40, "--output", "b"),
    )
    assert ours.status == theirs.status == 0, theirs.err
    plain = cli("val", small_run, "--output", "c")
    other = cli("val", small_run, "--runtime", runtime, "--output", "d")
    assert other.status == 0, other.err
    assert plain.out.splitlines()[:14] == other.out.splitlines()[:14]


def test_ctrl_c_after_openvino_was_used_elsewhere(exported, python):
    """OpenVINO's plugin, freed in another thread, left a signal of the first thread nowhere to go."""
    pytest.importorskip("openvino", reason='pip install "gluon_ssd[openvino]"')
    done = python(
        "import os, signal, threading; from gluon_ssd.runtimes.openvino_session import OpenVINOSession\n"
        f"held = [OpenVINOSession(__import__('pathlib').Path({str(exported / 'raw.onnx')!r}))]\n"
        "aside = threading.Thread(target=held.clear); aside.start(); aside.join()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('interrupted'))\n"
        "os.kill(os.getpid(), signal.SIGINT)"
    )
    assert (done.status, done.out) == (0, "interrupted\n"), done.err


def test_onnxruntime_tells_nobody(exported, python, tmp_path):
    """Its telemetry keeps a file of that name, in the folder for temporary files."""
    pytest.importorskip("onnxruntime", reason='pip install "gluon_ssd[onnxruntime]"')
    place = tmp_path / "tmp"
    place.mkdir()
    code = f"import gluon_ssd, onnxruntime; onnxruntime.InferenceSession({str(exported / 'raw.onnx')!r})"
    done = python(code, TMPDIR=str(place))
    assert (done.status, list(place.iterdir())) == (0, []), done.err


def test_a_file_is_scored(runtime, exported, small_run, shapes, cli):
    """As its run is with the same settings; it has no recipe that would name a data set."""
    given = ("--score-threshold", 0.01, "--max-detections", 40)
    plain = cli("val", small_run, *given, "--output", "c")
    for name in ("boxes.onnx", "pixels.onnx"):
        file = cli("val", exported / name, "--runtime", runtime, "--data", shapes, "--output", name[:5])
        assert file.status == 0, file.err
        assert plain.out.splitlines()[:14] == file.out.splitlines()[:14]
    refused(cli("val", exported / "boxes.onnx", "--output", "d"), "no data set; give its folder")


@pytest.mark.once
def test_all_score_the_same_on_photos(coco128, tmp_path):
    """80 classes on real images: mAP within 0.001, where the best of what MXNet finds is the truth."""
    images, count = json.loads((coco128 / "annotations" / "instances_val2017.json").read_text())["images"], 6
    net = network("ssd_resnet34", None)
    rows = []
    for image in images[:count]:
        found = Detector(net, **OPTIONS)(coco128 / "val2017" / image["file_name"])[:20]
        boxes = [[left, top, right - left, bottom - top] for left, top, right, bottom in found.xyxy.tolist()]
        for box, class_id in zip(boxes, found.class_ids):
            row = {"id": len(rows) + 1, "image_id": image["id"], "bbox": box, "area": box[2] * box[3]}
            rows.append({**row, "category_id": int(class_id) + 1, "iscrowd": 0})
    categories = [{"id": number, "name": name} for number, name in enumerate(net.classes, start=1)]
    truth = {"images": images[:count], "annotations": rows, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    dataset = open_dataset(coco128, "val", tmp_path / "truth.json", coco128 / "val2017", net.classes)
    scores = {}
    for runtime in PRECISIONS:
        pytest.importorskip(runtime)
        detector = Detector(net, **OPTIONS, runtime=runtime)
        scores[runtime] = evaluate(detector, dataset).scores.stats["map"]
    assert max(scores.values()) - min(scores.values()) < 0.001 and scores["mxnet"] > 0.3, scores


def test_all_agree_on_photos(coco128):
    """Of 80 classes, on real images."""
    images = sorted(coco128.rglob("*.jpg"))[:4]
    assert len(images) == 4
    net = network("ssd_resnet34", None)
    plain = Detector(net, **OPTIONS)(images)
    for runtime in PRECISIONS:
        pytest.importorskip(runtime)
        agree(plain, Detector(net, **OPTIONS, runtime=runtime)(images))


def test_metadata_of_endless_depth_are_damaged():
    text = dict.fromkeys(("category_ids", "size", "mean", "std", "pixels", "batch", "detections"), "1")
    with pytest.raises(UserError, match="m.onnx: its metadata are damaged"):
        Header.from_text({"gluon_ssd_format": "1", "model": "m", **text, "classes": "[" * 100_000}, "m.onnx")
