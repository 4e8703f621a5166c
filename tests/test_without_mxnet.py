"""Where MXNet is not installed, or cannot be: what needs no network runs, the rest says so in one line."""

import json
import os
import pkgutil
import shutil
import subprocess
import sys

import numpy as np
import pytest
from places import REPOSITORY

import gluon_ssd
from gluon_ssd.convert import read_pickle, read_torch, write_torch

# The modules that compute with MXNet, and those that need one of them. All others do without.
COMPUTING = {
    "gluon_ssd": "device losses nn ops postprocess selfcheck",
    "gluon_ssd.weights": "loading pretrained state",
    "gluon_ssd.training": "build checkpoints distributed evaluate evaluator horovod_check inputs loop "
    "loss_scale run_folder scorer step stop_signals train warm_up",
    "gluon_ssd.training.callbacks": "console profiler run_report step_parts straggler weight_average",
    "gluon_ssd.model_zoo": "base classifier efficientnet fused gluoncv_backbone gluoncv_ssd mobile "
    "profile resnet retinanet ssd ssd_vgg ssdlite ssdlite_mobilenet transfer",
    "gluon_ssd.report": "cards",
    "gluon_ssd.runtimes": "mxnet_runner",
    "gluon_ssd.export": "in_memory network onnx_file openvino_file proof small_model sources symbol_file "
    "torch_file walk",
}
MACHINES = {
    "no MXNet": "bare_machine.without_mxnet()",
    "Windows": "bare_machine.windows(); bare_machine.without_mxnet()",
}
# What a command does, and its exit status.
VERBS = {
    "--help": 0,
    "models": 0,
    "models ssd_resnet34": 0,
    "models pull": 0,
    "models pull resnet18": 2,
    "doctor": 1,
    "check shapes --model ssd_tiny": 0,
    "convert-data shapes yolo": 0,
    "convert-data shapes empty --to voc": 0,
    "prepare-json shapes/annotations/instances_val.json boxes.json": 0,
    "prepare-records shapes packed --format tfrecord": 0,
    "check packed --model ssd_tiny": 0,
    "convert resnet.pth resnet.pickle": 0,
    "convert resnet.pth resnet.params": 0,
    "convert resnet.params again.pth": 0,
    "convert resnet.pth resnet.safetensors": 0,
    "demo --data-only made --images 5": 0,
    "report shapes": 2,
}
NEEDS_MXNET = (
    "train --recipe ssd_tiny/smoke --data shapes",
    "val runs/none",
    "predict shapes/val --weights runs/none",
    "demo --output demo",
    "prepare-records shapes records",
    "convert resnet.pth resnet.ckpt --model resnet18",
)


def on(machine, code, folder):
    """What a line of Python prints on such a machine, in ``folder``."""
    code = f"import bare_machine; {MACHINES[machine]}\n{code}"
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests" / "support")])
    environment = {**os.environ, "PYTHONPATH": paths, "GLUON_SSD_HOME": "home", "GLUON_SSD_MIRROR": "nothing"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def resnet():
    """Three stages of a residual network under torchvision's names."""
    state, inputs = {}, 3
    layers = [("conv1", "bn1")]
    for stage in (1, 2, 3):
        block = f"layer{stage}.0"
        layers += [(f"{block}.conv1", f"{block}.bn1"), (f"{block}.conv2", f"{block}.bn2")]
        layers += [(f"{block}.downsample.0", f"{block}.downsample.1")]
    for conv, norm in layers:
        state[f"{conv}.weight"] = np.ones((4, inputs, 3, 3), np.float32)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{leaf}"] = np.ones(4, np.float32)
        inputs = 4
    return state


@pytest.fixture(scope="module", params=MACHINES)
def machine(request):
    if request.param == "Windows" and sys.platform != "linux":
        pytest.skip("Windows is imitated on Linux")
    return request.param


@pytest.fixture(scope="module")
def outcomes(machine, shapes, tmp_path_factory):
    """(status, stdout, stderr) of every command, run one after the other in one folder of such a machine."""
    folder = tmp_path_factory.mktemp("bare")
    shutil.copytree(shapes, folder / "shapes")
    (folder / "empty").mkdir()
    write_torch(resnet(), folder / "resnet.pth")
    commands = [*VERBS, *NEEDS_MXNET]
    code = (
        "import contextlib, io, json\n"
        "from gluon_ssd.cli import main\n"
        "found = {}\n"
        f"for command in {commands}:\n"
        "    out, err = io.StringIO(), io.StringIO()\n"
        "    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):\n"
        "        status = main(command.split())\n"
        "    found[command] = status, out.getvalue(), err.getvalue()\n"
        "print(json.dumps(found))"
    )
    done = on(machine, code, folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_only_what_computes_imports_mxnet(machine, tmp_path):
    names = [found.name for found in pkgutil.walk_packages(gluon_ssd.__path__, "gluon_ssd.")]
    code = (
        "import importlib\n"
        f"for name in {[name for name in names if not name.endswith('__main__')]}:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(name, error.name)"
    )
    done = on(machine, code, tmp_path)
    assert done.returncode == 0, done.stderr
    missing = dict(line.split() for line in done.stdout.splitlines())
    optional = {"nvidia", "onnx", "starlette", "uvicorn", "prometheus_client", "python_multipart"}
    assert set(missing.values()) <= {"mxnet", "mxnet.gluon", *optional}
    failed = {name for name, module in missing.items() if module.startswith("mxnet")}
    in_folders = {name for name in failed if name.startswith(("gluon_ssd.nn.", "gluon_ssd.ops."))}
    expected = {f"{folder}.{name}" for folder, names in COMPUTING.items() for name in names.split()}
    # Where onnx is not installed either, a module that needs both may have asked for that first.
    assert failed - in_folders == expected - {name for name, module in missing.items() if module == "onnx"}


@pytest.mark.parametrize("command", VERBS)
def test_a_command_runs_to_its_end(outcomes, command):
    status, out, err = outcomes[1][command]
    assert (status, err.count("\n")) == (VERBS[command], int(status == 2)), out + err
    assert out or status == 2


def test_what_the_commands_wrote(outcomes):
    folder, found = outcomes
    assert read_pickle(folder / "resnet.pickle")["stage3_conv1_weight"].shape == (4, 4, 3, 3)
    assert read_torch(folder / "again.pth").keys() == resnet().keys()
    assert len(list((folder / "packed").glob("*.tfrecord"))) == 12
    assert len(list((folder / "made" / "train").glob("*.jpg"))) == 4
    assert "fit to train on" in found["check packed --model ssd_tiny"][1]
    assert list((folder / "home" / "models").iterdir()) == []
    assert not list(folder.rglob("*.partial")) + list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("command", NEEDS_MXNET)
def test_what_needs_mxnet_says_so_in_one_line(outcomes, machine, command):
    folder, found = outcomes
    status, _, err = found[command]
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: mxnet is not installed; ")
    assert ("MXNet 1.9.1 is not published for Windows; " in err) == (machine == "Windows")
    assert not {path.name for path in folder.iterdir()} & {"demo", "records", "resnet.ckpt"}


@pytest.mark.parametrize(
    "code",
    [
        "gluon_ssd.Detector('runs/none')",
        "from gluon_ssd.export import to_symbol",
        "gluon_ssd.get_model('ssd_tiny')",
        "from gluon_ssd.convert import load_torch_state",
    ],
)
def test_python_says_so_in_one_line(machine, tmp_path, code):
    done = on(machine, f"import gluon_ssd; {code}", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("gluon_ssd.errors.UserError: mxnet is not installed; ")


def test_a_file_comes_into_the_store(machine, tmp_path):
    (tmp_path / "mirror.pth").write_bytes(b"weights")
    code = (
        "from pathlib import Path; from gluon_ssd.weights.download import fetch\n"
        "fetch('mirror.pth', Path('stored.pth'), lambda part: part.read_bytes())"
    )
    done = on(machine, code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("mirror.pth", "stored.pth"), b"weights"
    )


def test_models_are_listed(machine, tmp_path):
    done = on(machine, "import gluon_ssd; print(len(gluon_ssd.list_models()))", tmp_path)
    assert int(done.stdout) == len(gluon_ssd.list_models())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_exported_file_needs_neither_mxnet_nor_torch(machine, runtime, small_run, shapes, tmp_path):
    """From Python and on the command line, with the results of the run that it was exported from."""
    pytest.importorskip("onnx", reason='onnx is not installed: pip install "gluon_ssd[onnx]"')
    pytest.importorskip(runtime, reason=f'{runtime} is not installed: pip install "gluon_ssd[{runtime}]"')
    from gluon_ssd.export import to_onnx

    settings = {"score_threshold": 0.01, "max_detections": 30}
    to_onnx(small_run, tmp_path / "model.onnx", detections=True, settings=settings, prove=False)
    photos = [str(path) for path in sorted((shapes / "val").iterdir())]
    wanted = [found.to_dict() for found in gluon_ssd.Detector(small_run, **settings)(photos)]
    code = (
        "import sys, json; sys.modules['torch'] = None\n"
        "import gluon_ssd; from gluon_ssd.cli import main\n"
        f"found = gluon_ssd.Detector('model.onnx', runtime={runtime!r})({photos})\n"
        f"status = main(['predict', {photos[0]!r}, '--weights', 'model.onnx', '--runtime', {runtime!r}, "
        "'--score-threshold', '0.01', '--output', 'found'])\n"
        "assert status == 0 and 'mxnet' not in sys.modules\n"
        "print(json.dumps([one.to_dict() for one in found]))"
    )
    done = on(machine, code, tmp_path)
    assert done.returncode == 0, done.stderr
    for ours, theirs in zip(wanted, json.loads(done.stdout.splitlines()[-1])):
        assert [row["name"] for row in ours] == [row["name"] for row in theirs]
        assert [row["score"] for row in ours] == pytest.approx([row["score"] for row in theirs], abs=1e-4)
    assert (tmp_path / "found" / "detections.json").is_file()
