"""Weight files into weight files and into networks."""

import pickle

import numpy as np
import pytest
from golden import seeded_weights
from small import same
from torch_resnet import resnet_state

from gluon_ssd.convert import (
    convert_file,
    load_backbone,
    read_params,
    read_pickle,
    read_torch,
    read_weights,
    write_params,
    write_torch,
)
from gluon_ssd.errors import UserError
from gluon_ssd.tensor_files.archive import write_archive
from gluon_ssd.tensor_files.backbone_names import backbone_arrays


def parameters(net):
    return {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}


@pytest.fixture(scope="module")
def net():
    import mxnet as mx

    from gluon_ssd import get_model

    mx.random.seed(5)
    net = get_model("ssd_resnet34")
    for parameter in net.collect_params(".*running_(mean|var)").values():
        parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
    return net


@pytest.fixture
def fresh():
    """Make an untrained ssd_resnet34."""
    from gluon_ssd import get_model

    return lambda **options: get_model("ssd_resnet34", **options)


@pytest.fixture(scope="module")
def files(net, tmp_path_factory):
    """The same detector in every kind of file."""
    from gluon_ssd.weights.checkpoint import save_checkpoint

    folder = tmp_path_factory.mktemp("files")
    net.collect_params().save(str(folder / "names.params"))
    net.save_parameters(str(folder / "paths.params"))
    marked = {("aux:" if "running" in k else "arg:") + k: v for k, v in parameters(net).items()}
    write_params(marked, folder / "marked.params")
    save_checkpoint(folder / "run.ckpt", net)
    convert_file(folder / "names.params", folder / "net.pth")
    return folder


@pytest.mark.parametrize("source", ["names.params", "paths.params", "marked.params", "run.ckpt", "net.pth"])
def test_every_file_of_a_detector_becomes_the_same_params(files, net, tmp_path, source):
    convert_file(files / source, tmp_path / "a.params")
    assert same(read_params(tmp_path / "a.params"), parameters(net))


@pytest.mark.parametrize("source", ["names.params", "paths.params", "run.ckpt", "net.pth"])
def test_every_file_of_a_detector_becomes_the_same_pickle(files, net, tmp_path, source):
    line = convert_file(files / source, tmp_path / "a.pickle")
    assert line.endswith("a.pickle (pickle, 145 tensors)")
    prefix = net.backbone.prefix
    backbone = {name[len(prefix) :]: v for name, v in parameters(net).items() if name.startswith(prefix)}
    assert same(read_pickle(tmp_path / "a.pickle"), backbone)


def test_the_pth_has_the_references_names(files):
    state = read_torch(files / "net.pth")
    assert state["model.layer1.0.weight"].shape == (64, 3, 7, 7)
    assert state["conf.0.weight"].shape == (324, 256, 3, 3)
    assert len(state) == 189


def test_a_run_folder_is_a_source(files, net, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "best.ckpt").write_bytes((files / "run.ckpt").read_bytes())
    convert_file(tmp_path / "run", tmp_path / "a.params")
    assert same(read_params(tmp_path / "a.params"), parameters(net))


def test_own_classes(fresh, tmp_path):
    net = fresh(classes=["cat", "dog"])
    net.collect_params().save(str(tmp_path / "a.params"))
    with pytest.raises(UserError, match="name them with --classes"):
        convert_file(tmp_path / "a.params", tmp_path / "a.pth")
    convert_file(tmp_path / "a.params", tmp_path / "a.pth", classes=["cat", "dog"])
    assert read_torch(tmp_path / "a.pth")["conf.0.weight"].shape == (12, 256, 3, 3)
    convert_file(tmp_path / "a.pth", tmp_path / "b.params", "ssd_resnet34", ["cat", "dog"])
    assert same(read_params(tmp_path / "b.params"), parameters(net))


@pytest.mark.parametrize("suffix", ["pickle", "params", "safetensors", "pth"])
def test_a_backbone_goes_into_a_detector_from_every_file(fresh, tmp_path, suffix):
    if suffix == "safetensors":
        pytest.importorskip(
            "safetensors", reason='safetensors is not installed: pip install "gluon_ssd[safetensors]"'
        )
    state = resnet_state(34)
    write_torch(state, tmp_path / "a.pth")
    if suffix != "pth":
        convert_file(tmp_path / "a.pth", tmp_path / f"a.{suffix}")
    net = fresh()
    before = parameters(net)
    load_backbone(net, tmp_path / f"a.{suffix}")
    after, prefix = parameters(net), net.backbone.prefix
    expected = backbone_arrays(state)
    assert len(expected) == 145
    for name, value in after.items():
        short = name[len(prefix) :]
        assert np.array_equal(value, expected[short] if name.startswith(prefix) else before[name])


@pytest.mark.parametrize("source", ["names.params", "paths.params", "marked.params", "run.ckpt"])
def test_the_backbone_of_a_detector_goes_into_another(files, fresh, net, source):
    other = fresh(classes=["cat"])
    load_backbone(other, files / source)
    assert same(parameters(other.backbone), parameters(net.backbone))


def test_moving_means_are_running_means(fresh, tmp_path):
    arrays = {name.replace("running", "moving"): v for name, v in backbone_arrays(resnet_state(34)).items()}
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(arrays))
    load_backbone(fresh(), tmp_path / "a.pickle")


def test_weights_of_the_other_layout_are_turned(fresh, tmp_path):
    arrays = backbone_arrays(resnet_state(34))
    turned = {name: v.transpose(0, 2, 3, 1) if v.ndim == 4 else v for name, v in arrays.items()}
    write_params(turned, tmp_path / "nhwc.params")
    net = fresh()
    load_backbone(net, tmp_path / "nhwc.params")
    convert_file(tmp_path / "nhwc.params", tmp_path / "a.pickle")
    assert same(read_pickle(tmp_path / "a.pickle"), arrays)
    name = net.backbone.prefix + "conv0_weight"
    assert np.array_equal(net.collect_params()[name].data().asnumpy(), arrays["conv0_weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("stage2_conv1_weight"), "missing stage2_conv1_weight"),
        (lambda a: a.update(stage2_conv9_weight=np.ones(1)), "unexpected stage2_conv9_weight"),
        (
            lambda a: a.update(stage2_batchnorm0_gamma=np.ones(3)),
            r"stage2_batchnorm0_gamma is \(3,\), the backbone has \(128,\)",
        ),
    ],
)
def test_a_backbone_that_does_not_fit_changes_nothing(fresh, tmp_path, change, message):
    arrays = backbone_arrays(resnet_state(34))
    change(arrays)
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(arrays))
    net = fresh()
    before = parameters(net)
    with pytest.raises(UserError, match="a.pickle: does not fit the backbone of ssd_resnet34: " + message):
        load_backbone(net, tmp_path / "a.pickle")
    assert same(parameters(net), before)


def test_another_depth_is_told_in_one_line(fresh, tmp_path):
    write_torch(resnet_state(50, width=8), tmp_path / "a.pth")
    with pytest.raises(UserError) as error:
        load_backbone(fresh(), tmp_path / "a.pth")
    assert len(str(error.value)) < 700


def test_a_whole_classifier_is_a_backbone_file_in_mxnet(tmp_path):
    write_torch(resnet_state(50, width=8), tmp_path / "a.pth")
    convert_file(tmp_path / "a.pth", tmp_path / "a.params")
    found = read_params(tmp_path / "a.params")
    assert "stage4_conv9_weight" in found
    convert_file(tmp_path / "a.params", tmp_path / "b.pth")
    state = resnet_state(50, width=8)
    assert same(read_torch(tmp_path / "b.pth"), {k: v for k, v in state.items() if not k.startswith("fc.")})


def test_kinds_are_found_by_content(files, tmp_path):
    assert read_weights(files / "names.params")[0] == "params"
    assert read_weights(files / "run.ckpt")[0] == "checkpoint"
    assert read_weights(files / "net.pth")[0] == "torch"
    (tmp_path / "a.bin").write_bytes(pickle.dumps({"w": np.ones(2)}))
    assert read_weights(tmp_path / "a.bin")[0] == "pickle"


def test_without_the_safetensors_library_the_extra_is_named(python, tmp_path):
    code = "import sys; sys.modules['safetensors'] = None\nfrom gluon_ssd import convert as c\n"
    code += "c.read_safetensors('x')"
    assert 'pip install "gluon_ssd[safetensors]"' in python(code).err.splitlines()[-1]


def test_reading_and_writing_needs_neither_mxnet_nor_torch(python, tmp_path):
    write_torch(resnet_state(18, width=8), tmp_path / "a.pth")
    code = (
        "import sys; sys.modules['mxnet'] = sys.modules['torch'] = None\n"
        "from gluon_ssd.convert import convert_file\n"
        "for to in ('a.pickle', 'a.params', 'b.pth'): convert_file('a.pth', to)\n"
        "convert_file('a.pickle', 'c.params'); convert_file('c.params', 'c.pth')"
    )
    assert python(code) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.pth", "a.params"], "gone.pth: no such file, checkpoint or run folder"),
        (["empty", "a.params"], "empty: no checkpoint in this folder"),
        (["text.pth", "a.params"], "text.pth: is no weight file that is known; known are .pth, .pt, .pickle"),
        (["nothing.pth", "a.params"], "nothing.pth: is empty; known are"),
        (["ok.pth", "a.txt"], "a.txt: its suffix does not say what to write; use .ckpt, .pth"),
        (["ok.pth", "ok.pth"], "ok.pth: is the source itself"),
        (["ok.pth", "gone/a.pickle"], "gone/a.pickle: cannot be written: No such file or directory"),
        (["ok.pth", "a.params", "--model", "ssd_resnet43"], "unknown model 'ssd_resnet43'; did you mean"),
        (["ok.pth", "a.params", "--model", "ssd_resnet34"], "ok.pth: these weights do not fit ssd_resnet34"),
        (
            ["odd.pth", "a.params"],
            "odd.pth: the tensors' names are of no model here; if it is one, give --model",
        ),
        (["odd.pth", "a.pickle"], "odd.pth: the tensors' names are of no model here"),
        (["ok.pth", "a.pickle", "--model", "ssd_resnet34"], "ok.pth: these weights do not fit ssd_resnet34"),
        (["ok.pth", "a.pickle", "--stages", "5"], "--stages: must be at most 4, got 5"),
        (["ok.pth", "a.params", "--stages", "4"], "a.params: stages (--stages) are kept in a .pickle only"),
        (["ok.pth", "b.pth", "--model", "ssd_resnet43"], "unknown model 'ssd_resnet43'; did you mean"),
        (["ok.pth", "b.pth", "--classes", "cat"], "ok.pth: these weights do not fit resnet18"),
        (["net.ckpt", "b.pth", "--classes", "cat"], "net.ckpt: a checkpoint knows its model and classes"),
        (["ok.pth", "a.pickle", "--classes", "cat"], "ok.pth: these weights do not fit resnet18"),
        (
            ["bare.pickle", "c.pickle", "--stages", "4"],
            "bare.pickle: 4 stages are asked for (--stages), and it has 3",
        ),
        (["cut.ckpt", "a.params"], "cut.ckpt: not a checkpoint of this library, or damaged"),
        (["bare.pickle", "b.ckpt"], "bare.pickle: holds a backbone alone; --pretrained-backbone takes it"),
    ],
)
def test_mistakes_are_one_line(cli, tmp_path, arguments, message):
    write_torch(resnet_state(18, width=8), tmp_path / "ok.pth")
    write_torch({"x": np.ones(3, np.float32)}, tmp_path / "odd.pth")
    convert_file(tmp_path / "ok.pth", tmp_path / "bare.pickle")
    write_archive(tmp_path / "net.ckpt", {"a": np.ones(99)}, {})
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "net.ckpt").read_bytes()[:-200])
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "nothing.pth").touch()
    result = cli("convert", *arguments)
    assert result.status == 2
    assert result.err.startswith("error: ")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not any(
        (tmp_path / name).exists() for name in ("a.params", "a.pickle", "c.pickle", "b.pth", "b.ckpt")
    )


def test_safetensors_of_nothing(cli, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy", reason='pip install "gluon_ssd[safetensors]"')
    numpy.save_file({}, tmp_path / "a.safetensors")
    assert cli("convert", "a.safetensors", "a.pth") == (2, "", "error: a.safetensors: holds no tensors\n")


def test_a_checkpoint_is_not_made_of_numbers_that_are_none(cli, files, net, tmp_path):
    arrays = parameters(net)
    name = "ssd0_expand_conv0_bias"
    arrays[name] = np.full_like(arrays[name], np.nan)
    write_params(arrays, tmp_path / "a.params")
    line = f"error: a.params: {name} is not finite (NaN or infinity); no checkpoint is made of that\n"
    assert cli("convert", "a.params", "a.ckpt") == (2, "", line)


def test_the_classes_are_not_blamed_for_tensors_that_are_missing(cli, files, tmp_path):
    result = cli("convert", files / "names.params", "a.pth", "--model", "resnet18")
    assert "does not fit resnet18: missing" in result.err and "--classes" not in result.err


def test_the_command_says_what_it_did(cli, tmp_path):
    write_torch(resnet_state(18, width=8), tmp_path / "a.pth")
    line = "a.pth (torch, 102 tensors) -> a.pickle (pickle, 75 tensors)\n"
    assert cli("convert", "a.pth", "a.pickle") == (0, line, "")
    assert cli("convert", "a.pth", "a.pickle", "--stages", "4").out.endswith("(pickle, 100 tensors)\n")


REFERENCES = {
    "ssd_resnet34": "ssd300_resnet34_mlperf",
    "ssd_resnet34_bn": "ssd300_resnet34_dle",
    "ssd_resnet50": "ssd300_resnet50_dle",
    "retinanet_resnext50_32x4d": "retinanet_resnext50",
    "retinanet_resnet50": "torchvision_retinanet_resnet50",
}


@pytest.mark.parametrize(("model", "reference"), REFERENCES.items())
def test_a_references_file_is_recognised_and_comes_back(tmp_path, model, reference):
    from gluon_ssd import load

    state = seeded_weights(reference)
    write_torch({f"module.{name}": value for name, value in state.items()}, tmp_path / "a.pth")
    convert_file(tmp_path / "a.pth", tmp_path / "a.ckpt")
    net = load(tmp_path / "a.ckpt", device="cpu")
    assert net.model_name == model
    assert net.collect_params().keys() == read_weights(tmp_path / "a.ckpt")[1].keys()
    convert_file(tmp_path / "a.ckpt", tmp_path / "b.pth")
    back = read_torch(tmp_path / "b.pth")
    assert set(back) == {name for name in state if not name.endswith("num_batches_tracked")}
    for name, value in back.items():
        # torchvision's 91 channels have eleven that stand for nothing and do not come back.
        if not (model == "retinanet_resnet50" and "cls_logits" in name):
            assert np.array_equal(value, state[name])


@pytest.mark.parametrize("model", ["retinanet_resnext50_32x4d", "retinanet_resnet50", "ssd_resnet50"])
def test_bottleneck_backbones(tmp_path, model):
    from gluon_ssd import get_model

    shape = {"groups": 32, "group_width": 4} if "resnext" in model else {}
    state = resnet_state(50, **shape)
    write_torch(state, tmp_path / "a.pth")
    stages = 3 if model.startswith("ssd") else 4
    convert_file(tmp_path / "a.pth", tmp_path / "a.pickle", stages=stages)
    for source in ("a.pth", "a.pickle"):
        net = get_model(model)
        load_backbone(net, tmp_path / source)
        arrays, prefix = parameters(net.backbone), net.backbone.prefix
        assert np.array_equal(arrays[f"{prefix}stage2_conv3_weight"], state["layer2.0.downsample.0.weight"])
        last = f"{prefix}stage{stages}_conv0_weight"
        assert np.array_equal(arrays[last], state[f"layer{stages}.0.conv1.weight"])


@pytest.mark.parametrize("suffix", ["params", "paths", "ckpt", "pth"])
def test_the_pickle_of_a_retinanet_goes_back_into_one(tmp_path, suffix):
    from gluon_ssd import get_model
    from gluon_ssd.weights.checkpoint import save_checkpoint

    net = get_model("retinanet_resnet50", classes=["cat"])
    save_checkpoint(tmp_path / "a.ckpt", net)
    net.save_parameters(str(tmp_path / "a.paths"))
    if suffix in ("params", "pth"):
        convert_file(tmp_path / "a.ckpt", tmp_path / f"a.{suffix}")
    classes = ["cat"] if suffix in ("params", "paths") else None
    convert_file(tmp_path / f"a.{suffix}", tmp_path / "a.pickle", classes=classes)
    back = get_model("retinanet_resnet50", classes=["dog"])
    load_backbone(back, tmp_path / "a.pickle")
    assert same(parameters(back.backbone), parameters(net.backbone))


def test_what_cannot_be_converted_is_named(tmp_path):
    from gluon_ssd import get_model
    from gluon_ssd.weights.checkpoint import save_checkpoint

    save_checkpoint(tmp_path / "a.ckpt", get_model("ssd_tiny", classes=["cat"]))
    with pytest.raises(UserError, match=r"/a.ckpt: ssd_tiny has no PyTorch counterpart"):
        convert_file(tmp_path / "a.ckpt", tmp_path / "a.pth")
    assert not (tmp_path / "a.pth").exists()


def test_only_a_detector_is_recommended_for_detecting(tmp_path):
    write_torch(resnet_state(18), tmp_path / "a.pth")
    assert convert_file(tmp_path / "a.pth", tmp_path / "a.ckpt").endswith("(checkpoint, 102 tensors)")


def test_a_checkpoint_holds_the_options_of_its_network(tmp_path):
    from gluon_ssd import get_model, load
    from gluon_ssd.weights.checkpoint import save_checkpoint

    save_checkpoint(tmp_path / "a.ckpt", get_model("retinanet_resnet50", norm_epsilon=0.0, classes=["cat"]))
    net = load(tmp_path / "a.ckpt", device="cpu")
    assert (net.options, net.classes) == ({"norm_epsilon": 0.0}, ("cat",))
    assert net.backbone.stem[1].epsilon == 0


def test_a_classifier_comes_back_whole(tmp_path):
    state = resnet_state(18)
    write_torch(state, tmp_path / "a.pth")
    convert_file(tmp_path / "a.pth", tmp_path / "a.params", model="resnet18")
    convert_file(tmp_path / "a.params", tmp_path / "b.pth")
    assert same(read_torch(tmp_path / "b.pth"), state)
