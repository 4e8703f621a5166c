"""Weight files of GluonCV: its ResNet v1b is torchvision's ResNet, its SSD is none of ours."""

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd import UserError, get_model
from gluon_ssd.convert import convert_file, load_backbone, read_torch, write_params


@pytest.fixture
def random_network(gluoncv):
    """Build a network of GluonCV's with random weights and statistics."""

    def build(name, **options):
        mx.random.seed(1)
        net = gluoncv.model_zoo.get_model(name, pretrained=False, **options)
        net.initialize(mx.init.MSRAPrelu())
        net(mx.nd.zeros((1, 3, 300, 300)))
        for name, parameter in net.collect_params(".*running_(mean|var)").items():
            low, high = (0.5, 1.5) if name.endswith("var") else (-0.2, 0.2)
            parameter.set_data(mx.nd.random.uniform(low, high, parameter.shape))
        return net

    return build


@pytest.mark.parametrize("model", ["resnet34", "resnet50"])
def test_a_resnet_v1b_is_our_resnet(random_network, tmp_path, model):
    theirs = random_network(f"{model}_v1b")
    path = tmp_path / "gluoncv.params"
    theirs.save_parameters(str(path))
    ours = get_model(model, pretrained=path)
    image = mx.nd.random.normal(shape=(1, 3, 64, 96))
    wanted = theirs(image).asnumpy()
    assert np.abs(wanted).max() > 0.01
    assert np.abs(ours(image).asnumpy() - wanted).max() < 1e-5 * np.abs(wanted).max()

    detector = get_model(f"ssd_{model}", pretrained_base=path)
    weight = theirs.layer3[1].conv1.weight.data().asnumpy()
    assert np.array_equal(detector.backbone.stages[2][1].convolutions[0][0].weight.data().asnumpy(), weight)
    convert_file(path, tmp_path / "a.pth")
    state = read_torch(tmp_path / "a.pth")
    assert np.array_equal(state["layer3.1.conv1.weight"], weight) and "fc.bias" in state
    assert np.array_equal(state["bn1.weight"], theirs.bn1.gamma.data().asnumpy())


@pytest.mark.parametrize("name", ["resnet34_v1b", "mobilenetv3_small"])
def test_a_classifiers_file_goes_into_the_same_backbone(random_network, tmp_path, name):
    theirs = random_network(name)
    theirs.save_parameters(str(tmp_path / "gluoncv.params"))
    net = get_model(
        "ssd_resnet34", ["cat"], backbone=f"gluoncv:{name}", pretrained_base=tmp_path / "gluoncv.params"
    )
    own = [p.data().asnumpy() for p in net.backbone.collect_params().values()]
    wanted = [p.data().asnumpy() for p in theirs.collect_params().values()]
    assert len(own) > 50 and all(np.array_equal(a, b) for a, b in zip(own, wanted))
    write_params({"conv9.weight": np.ones((3, 3), np.float32)}, tmp_path / "odd.params")
    with pytest.raises(UserError, match="odd.params: does not fit the backbone of ssd_resnet34: missing"):
        load_backbone(net, tmp_path / "odd.params")


def test_an_ssd_of_gluoncvs_is_not_ours(random_network, tmp_path):
    theirs = random_network("ssd_300_resnet34_v1b_coco", pretrained_base=False)
    path = tmp_path / "gluoncv.params"
    theirs.save_parameters(str(path))
    assert_refused(path)
    theirs.collect_params().save(str(path))
    assert_refused(path)


def test_names_alone_tell_an_ssd_of_gluoncvs(tmp_path):
    for names in (
        [
            "features.stage1.0.weight",
            "class_predictors.0.predictor.weight",
            "box_predictors.0.predictor.weight",
        ],
        ["ssd0_resnetv1b_conv0_weight", "ssd0_ssdanchorgenerator0_anchor_0"],
    ):
        write_params({name: np.ones((2, 2), np.float32) for name in names}, tmp_path / "a.params")
        assert_refused(tmp_path / "a.params")


def assert_refused(path):
    """Whichever way it is read, one line tells what it is and what to do."""
    net = get_model("ssd_resnet34")
    for read in (
        lambda: net.load_parameters(str(path)),
        lambda: load_backbone(net, path),
        lambda: convert_file(path, path.with_suffix(".pth")),
        lambda: get_model("ssd_resnet34", pretrained=path),
    ):
        with pytest.raises(UserError) as error:
            read()
        text = str(error.value)
        assert text.startswith(f"{path}: an SSD of GluonCV's; give the model as gluoncv:NAME")
        assert "--model gluoncv:ssd_512_resnet50_v1_voc" in text and "\n" not in text
