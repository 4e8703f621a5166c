"""Networks that start from weights trained before; the weight store is a mirror of files made here."""

import hashlib
import threading
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from golden import load_golden, seeded, seeded_weights
from small import TRAIN, refused, same

from gluon_ssd import UserError, get_model, list_models
from gluon_ssd.convert import load_torch_state, to_torch_state, write_params, write_torch
from gluon_ssd.data.coco_names import COCO_CLASSES
from gluon_ssd.model_zoo import model_row
from gluon_ssd.weights import WEIGHTS, WeightFile
from gluon_ssd.weights.checkpoint import save_checkpoint
from gluon_ssd.weights.pretrained import find_backbone, find_trained


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty store and an empty mirror: nothing here ever asks a server."""
    monkeypatch.setenv("GLUON_SSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GLUON_SSD_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    return tmp_path / "home" / "models"


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Put a state dict into the mirror as the published file of a name; returns its path there."""

    def write(name, state):
        path = tmp_path / "mirror" / "new.pth"
        write_torch(state, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        published = path.rename(path.with_name(f"{name}-{digest}.pth"))
        monkeypatch.setitem(WEIGHTS, name, WeightFile(name, published.name, 1, "a test"))
        return published

    return write


def arrays(block):
    return {name: p.data().asnumpy() for name, p in block.collect_params().items()}


def random_state(model, seed=1):
    """Values under the names of the model's PyTorch reference."""
    mx.random.seed(seed)
    return to_torch_state(get_model(model))


def published_retinanet():
    """Seeded values under the names of torchvision's published file: those before its version 0.13."""
    state = {}
    for name, value in seeded_weights("torchvision_retinanet_resnet50").items():
        parts = name.split(".")
        if "_blocks." in name and parts[-3].isdigit():
            parts.pop(-2)
        if ".conv." in name and "head" in name:
            parts[-3:-1] = [str(2 * int(parts[-3]))]
        state[".".join(parts)] = value
    return state


@pytest.mark.parametrize("model", list_models())
def test_every_row_names_published_files(model):
    row = model_row(model)
    for name, of in ((row.weights, row.name), (row.backbone_weights, row.backbone)):
        assert not name or WEIGHTS[name].model == of
    alone = ("ssd300_vgg16", "ssdlite320_mobilenet_v3_large")
    retinanets = ("retinanet_resnet50", "retinanet_resnet50_v2", "retinanet_resnext50_32x4d")
    whole = ("ssd_resnet34_1200", "ssd_resnet50", *retinanets, *alone)
    assert bool(row.backbone_weights) != (row.kind == "backbone" or model in ("ssd_tiny", *alone))
    assert bool(row.weights) == (row.kind == "backbone" or model in whole)


def test_what_the_backbones_start_from():
    assert model_row("ssd_resnet34").backbone_weights == "resnet34-mlperf"
    assert model_row("ssd_resnet34_bn").backbone_weights == "resnet34"
    assert model_row("retinanet_resnext50_32x4d").backbone_weights == "resnext50_32x4d"


def test_a_classifier_is_whole(publish, home):
    state = random_state("resnet18")
    published = publish("resnet18", state)
    net = get_model("resnet18", pretrained=True)
    assert same(to_torch_state(net), state)
    assert (home / published.name).is_file()


def test_a_classifier_of_other_classes_starts_its_last_layer_anew(publish):
    state = random_state("resnet18")
    publish("resnet18", state)
    net = get_model("resnet18", classes=["cat", "7"], pretrained=True)
    found = to_torch_state(net)
    assert same(*({k: v for k, v in s.items() if not k.startswith("fc.")} for s in (found, state)))
    assert np.array_equal(found["fc.weight"][1], state["fc.weight"][7])
    assert not np.array_equal(found["fc.weight"][0], state["fc.weight"][0])


@pytest.mark.parametrize(("layout", "dtype"), [("NHWC", "float32"), ("NHWC", "float16")])
def test_layout_and_dtype_are_the_networks(publish, layout, dtype):
    state = random_state("resnet18")
    publish("resnet18", state)
    net = get_model("resnet18", layout=layout, dtype=dtype, pretrained=True)
    weight = net.backbone.stages[0][0].convolutions[0][0].weight.data().asnumpy()
    assert weight.dtype == dtype
    assert np.array_equal(weight.transpose(0, 3, 1, 2), state["layer1.0.conv1.weight"].astype(dtype))


def test_the_published_second_retinanet(publish):
    """With 91 channels, of which the 80 names take theirs; the first version refuses its file by name."""
    names = load_golden("torchvision_retinanet_resnet50_v2")["names"]
    shapes = {name: value.shape for name, value in to_torch_state(get_model("retinanet_resnet50_v2")).items()}
    state = seeded.retina_v2_state(shapes, 9)
    assert {name for name in names if not name.endswith("num_batches_tracked")} == set(state)
    assert state["head.classification_head.cls_logits.bias"].shape == (9 * 91,)
    path = publish("retinanet_resnet50_v2", state)
    other = get_model("retinanet_resnet50_v2", classes=["robot", "person"], pretrained=True)
    whole = get_model("retinanet_resnet50_v2", pretrained=True)
    assert whole.options == {}
    image = mx.nd.array(seeded.image_input(7, (1, 3, 96, 64)))
    logits, wanted = other(image)[0].asnumpy(), whole(image)[0].asnumpy()
    np.testing.assert_allclose(logits[..., 1], wanted[..., COCO_CLASSES.index("person")], atol=1e-4)
    with pytest.raises(UserError, match="published weights of retinanet_resnet50_v2, not of ret"):
        get_model("retinanet_resnet50", pretrained=path)


def test_the_published_retinanet(publish):
    state = published_retinanet()
    publish("retinanet_resnet50", state)
    direct = get_model("retinanet_resnet50")
    load_torch_state(direct, state)
    net = get_model("retinanet_resnet50", pretrained=True)
    assert same(arrays(net), arrays(direct))
    assert net.options == {"norm_epsilon": 0.0} and net.backbone.stem[1].epsilon == 0

    other = get_model("retinanet_resnet50", classes=["robot", "person"], pretrained=True)
    assert other.backbone.stem[1].epsilon == 0
    image = mx.nd.array(seeded.image_input(7, (1, 3, 96, 64)))
    (logits, boxes), (wanted, wanted_boxes) = other(image), net(image)
    person = COCO_CLASSES.index("person")
    np.testing.assert_allclose(logits.asnumpy()[..., 1], wanted.asnumpy()[..., person], atol=1e-4)
    np.testing.assert_allclose(boxes.asnumpy(), wanted_boxes.asnumpy(), atol=1e-4)


def test_the_published_ssd300(publish):
    names = load_golden("torchvision_ssd300_vgg16")["names"]
    state = random_state("ssd300_vgg16")
    assert sorted(state) == sorted(names)
    assert state["head.classification_head.module_list.1.weight"].shape == (6 * 91, 1024, 3, 3)
    publish("ssd300_vgg16", state)
    net = get_model("ssd300_vgg16", ["cat", "robot", "person"], pretrained=True)
    whole = get_model("ssd300_vgg16", pretrained=True)
    assert same(to_torch_state(whole), state)
    image = mx.nd.random.normal(shape=(1, 3, 300, 300))
    (logits, boxes), (wanted, wanted_boxes) = net(image), whole(image)
    rows = [0, *(1 + COCO_CLASSES.index(name) for name in ("cat", "person"))]
    np.testing.assert_allclose(logits.asnumpy()[..., [0, 1, 3]], wanted.asnumpy()[..., rows], atol=1e-4)
    np.testing.assert_allclose(boxes.asnumpy(), wanted_boxes.asnumpy(), atol=1e-4)


@pytest.mark.parametrize("count", [80, 91])
def test_as_many_classes_of_other_names_are_not_taken_for_the_published_ones(publish, count):
    publish("retinanet_resnet50", published_retinanet())
    names = [f"thing {index}" for index in range(count - 1)] + ["cat"]
    mx.random.seed(2)
    fresh = get_model("retinanet_resnet50", classes=names)
    mx.random.seed(2)
    net = get_model("retinanet_resnet50", classes=names, pretrained=True)
    name = net.class_head.output.bias.name
    before, after = (arrays(n)[name].reshape(9, count) for n in (fresh, net))
    assert np.array_equal(before[:, :-1], after[:, :-1]) and (before[:, -1] != after[:, -1]).all()


@pytest.mark.parametrize("model", ["ssd_resnet34", "retinanet_resnext50_32x4d"])
def test_a_published_backbone(publish, model):
    row = model_row(model)
    state = random_state(row.backbone)
    publish(row.backbone_weights, state)
    mx.random.seed(3)
    fresh = arrays(get_model(model))
    mx.random.seed(3)
    net = get_model(model, pretrained_base=True)
    own = {name for name in fresh if name.startswith(net.backbone.prefix)}
    assert np.array_equal(arrays(net)[net.backbone.prefix + "conv0_weight"], state["conv1.weight"])
    assert all(np.array_equal(arrays(net)[name], fresh[name]) for name in set(fresh) - own)


@pytest.mark.parametrize("kind", ["pth", "params", "paths", "ckpt"])
def test_any_file_of_the_model(tmp_path, kind):
    mx.random.seed(4)
    source = get_model("ssd_resnet34" if kind == "pth" else "ssd_tiny", classes=["cat", "dog"])
    path = tmp_path / f"mine.{kind}"
    if kind == "pth":
        write_torch(to_torch_state(source), path)
    elif kind == "params":
        write_params(arrays(source), path)
    elif kind == "paths":
        source.save_parameters(str(path))
    else:
        save_checkpoint(path, source)
    net = get_model(source.model_name, classes=["cat", "dog"], pretrained=str(path))
    assert same(arrays(net), arrays(source))
    assert same(arrays(get_model(source.model_name, ["cat", "dog"], pretrained=path)), arrays(source))


def test_a_run_folder_as_training_takes_it(tmp_path):
    source = get_model("ssd_tiny", classes=["cat", "dog"])
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    save_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt", source)
    net = get_model("ssd_tiny", ["cat", "dog"], pretrained=str(tmp_path / "run"))
    assert same(arrays(net), arrays(source))
    base = get_model("ssd_tiny", ["bird"], pretrained_base=tmp_path / "run").backbone
    assert same(arrays(base), arrays(source.backbone))
    with pytest.raises(UserError, match="no checkpoint in this folder"):
        get_model("ssd_tiny", pretrained=tmp_path)


def test_a_file_for_the_models_own_classes_serves_others_by_name(tmp_path):
    source = get_model("ssd_tiny")
    write_params(arrays(source), tmp_path / "coco.params")
    net = get_model("ssd_tiny", classes=["boat", "unicorn"], pretrained=tmp_path / "coco.params")
    image = mx.nd.array(np.random.RandomState(0).randn(1, 3, 192, 192))
    boat = 1 + COCO_CLASSES.index("boat")
    ours, theirs = net(image)[0].asnumpy(), source(image)[0].asnumpy()
    np.testing.assert_allclose(ours[..., :2], theirs[..., [0, boat]], atol=1e-5)


def test_a_checkpoint_brings_its_epsilon(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", get_model("retinanet_resnet50", ["cat"], norm_epsilon=0.0))
    net = get_model("retinanet_resnet50", ["dog"], pretrained=tmp_path / "a.ckpt")
    assert net.backbone.stem[1].epsilon == 0 and net.options == {"norm_epsilon": 0.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("ssd_resnet34", "pretrained", True),
            "ssd_resnet34: no weights of the whole network are published; ",
        ),
        (
            ("ssd_tiny", "pretrained", True),
            "ssd_tiny: no weights of the whole network are published; train it",
        ),
        (("ssd_tiny", "pretrained_base", True), "ssd_tiny: no weights of its backbone are published"),
        (("resnet18", "pretrained_base", True), "resnet18 is a backbone itself; pretrained, not"),
        (("resnet18", "pretrained", "resnet81"), "unknown weights 'resnet81'; did you mean resnet18"),
        (
            ("ssd_resnet34", "pretrained", "resnet34"),
            "weights resnet34 are of resnet34, not of ssd_resnet34; ",
        ),
        (("resnet18", "pretrained", "gone.pth"), "gone.pth: no such weight file"),
        (
            ("resnet18", "pretrained", 1),
            "pretrained is 1; give True, False, the name of published weights or",
        ),
        (("resnet18", "pretrained", ""), "pretrained is ''; give True"),
        (("resnet18", "pretrained", True), "no such file in the mirror"),
        (("ssd_resnet18", "pretrained_base", "resnet18"), "no such file in the mirror"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    model, option, value = arguments
    with pytest.raises(UserError) as error:
        get_model(model, **{option: value})
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_published_name_is_never_a_file(publish, tmp_path, monkeypatch):
    """The same for every option; what lies in the current folder cannot change what a command means."""
    monkeypatch.chdir(tmp_path)
    publish("resnet18", random_state("resnet18"))
    own = get_model("resnet18")
    for name in ("resnet18", "pretrained"):
        write_params(arrays(own), tmp_path / name)
    stored = tmp_path / "home" / "models" / WEIGHTS["resnet18"].file
    for name in ("resnet18", "pretrained"):
        assert find_trained("resnet18", name, own.classes).path == stored
        assert find_backbone("ssd_resnet18", name) == stored
        assert not same(arrays(get_model("resnet18", pretrained=name)), arrays(own))
        for file in (f"./{name}", Path(name)):
            assert find_trained("resnet18", file, own.classes).path == Path(name)
            assert find_backbone("ssd_resnet18", file) == Path(name)
            assert same(arrays(get_model("resnet18", pretrained=file)), arrays(own))


def test_one_kind_of_start_is_enough():
    with pytest.raises(UserError, match="give pretrained or pretrained_base"):
        get_model("retinanet_resnet50", pretrained=True, pretrained_base=True)
    with pytest.raises(UserError, match="pretrained: this get_model only builds; gluon_ssd.get_model brings"):
        from gluon_ssd import model_zoo

        model_zoo.get_model("resnet18", pretrained=True)
    with pytest.raises(UserError, match="class name 'cat' stands twice"):
        get_model("resnet18", classes=["cat", "cat"], pretrained=True)


def test_a_damaged_file_in_the_store(publish, home):
    published = publish("resnet18", random_state("resnet18"))
    get_model("resnet18", pretrained=True)
    data = bytearray((home / published.name).read_bytes())
    data[len(data) // 2] ^= 1
    (home / published.name).write_bytes(data)
    with pytest.raises(UserError, match="its SHA-256 starts with .*; remove it and pull again"):
        get_model("resnet18", pretrained=True)


def test_without_a_network(monkeypatch):
    monkeypatch.setenv("GLUON_SSD_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match="cannot be reached: .*without a network put resnet18-f37072fd.pth into"
    ):
        get_model("resnet18", pretrained=True)


def test_a_file_of_another_model(tmp_path):
    write_torch(random_state("resnet18"), tmp_path / "r18.pth")
    with pytest.raises(
        UserError, match="r18.pth: these weights do not fit ssd_resnet34; missing: model.layer1"
    ):
        get_model("ssd_resnet34", pretrained=tmp_path / "r18.pth")
    save_checkpoint(tmp_path / "a.ckpt", get_model("ssd_tiny"))
    with pytest.raises(UserError, match="a.ckpt: holds a ssd_tiny, not a ssd_resnet34"):
        get_model("ssd_resnet34", pretrained=tmp_path / "a.ckpt")
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "a.ckpt").read_bytes()[:5000])
    with pytest.raises(UserError, match="cut.ckpt"):
        get_model("ssd_tiny", pretrained=tmp_path / "cut.ckpt")


def test_gluoncvs_weights_are_its_own_to_fetch():
    with pytest.raises(
        UserError, match=r"get_model\('resnet34_v1b', pretrained=True\).save_parameters\(FILE\)"
    ):
        find_backbone("ssd_resnet34", True, "gluoncv:resnet34_v1b")


def test_nothing_is_fetched_unless_asked(monkeypatch):
    monkeypatch.setattr("gluon_ssd.weights.pretrained.pull", lambda name: pytest.fail(f"{name} was pulled"))
    assert threading.active_count() and get_model("ssd_tiny").model_name == "ssd_tiny"


def test_training_starts_from_files_and_published_weights(cli, shapes, tmp_path, publish):
    write_params(arrays(get_model("ssd_tiny")), tmp_path / "coco.params")
    common = (*TRAIN, "--data", shapes, "--eval-every", 0)
    result = cli(*common, "--weights", "coco.params")
    assert result.status == 0 and "weights from coco.params:\n" in result.out
    assert "parameters reused as they are\n" in result.out
    (tmp_path / "run").rename(tmp_path / "first")
    refused(
        cli(*common, "--weights", "pretrained"), "ssd_tiny: no weights of the whole network are published"
    )
    refused(cli(*common, "--weights", "resnet18"), "weights resnet18 are of resnet18, not of ssd_tiny")
    refused(cli(*common, "--weights", "gone"), "gone: no such checkpoint or run folder")
    refused(cli(*common, "--pretrained-backbone", "gone.pth"), "gone.pth: no such weight file")
    publish("resnet18", random_state("resnet18"))
    refused(cli(*common, "--pretrained-backbone", "resnet18"), "does not fit the backbone of ssd_tiny")
    both = ("--weights", "coco.params", "--pretrained-backbone", "coco.params")
    refused(cli(*common, *both), "--weights brings its backbone along; leave out --pretrained-backbone")
    refused(cli(*common, "--bn-fp16"), "bn_fp16 is for networks of dtype float16 (--precision fp16)")
    assert not (tmp_path / "run").exists()
