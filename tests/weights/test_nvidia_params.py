"""``.params`` files of NVIDIA's MXNet SSD, as its training writes them: ``net.save_parameters``.

What they hold was read from its published source (MLPerf training v0.7 to v1.1): backbone and extra layers
are one block of symbols, the prediction layers a sequence; in NHWC images are padded to 4 channels and
prediction layers to multiples of 8, and in half precision all but the norms is float16.
"""

import mxnet as mx
import numpy as np
import pytest
from golden import FOLDER
from mxnet.gluon import HybridBlock, SymbolBlock, nn

from gluon_ssd import UserError, get_model, load
from gluon_ssd.convert import convert_file, load_backbone, read_params, read_pickle, write_params
from gluon_ssd.tensor_files.layout import cut_padding
from gluon_ssd.tensor_files.names import nvidia_name

NAMES = (FOLDER / "ssd_v1.1_tensor_names.txt").read_text().split()
STEM = "ssd0_resnetmlperf0_conv0_weight"


class Backbone(HybridBlock):
    """A stage of one convolution and one norm, named as NVIDIA's ResNetMLPerf names them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            self.features.add(
                nn.Conv2D(8, 7, 2, 3, use_bias=False, in_channels=4), nn.BatchNorm(in_channels=8)
            )
            stage = nn.HybridSequential(prefix="stage1_")
            with stage.name_scope():
                stage.add(
                    nn.Conv2D(8, 3, padding=1, use_bias=False, in_channels=8), nn.BatchNorm(in_channels=8)
                )
            self.features.add(stage)

    def hybrid_forward(self, F, x):
        return self.features(x)


class Predictor(HybridBlock):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.predictor = nn.Conv2D(16, 3, padding=1, in_channels=8)

    def hybrid_forward(self, F, x):
        return self.predictor(x)


class Mirror(HybridBlock):
    """The structure of NVIDIA's network: a block of symbols for the features, then prediction layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            backbone = Backbone(prefix="resnetmlperf0_")
            data = mx.sym.var("data")
            y = backbone(data)
            for name, kernel in (("expand_trans_conv0", (1, 1)), ("expand_conv0", (3, 3))):
                y = mx.sym.Convolution(y, num_filter=8, kernel=kernel, name=name)
            self.features = SymbolBlock([backbone(data), y], [data], backbone.collect_params())
            self.predictors = nn.HybridSequential(prefix="")
            for index in range(2):
                self.predictors.add(Predictor(prefix=f"convpredictor{index}_"))

    def hybrid_forward(self, F, x):
        return [predict(feature) for predict, feature in zip(self.predictors, self.features(x))]


@pytest.mark.filterwarnings("ignore:Cannot decide type:UserWarning")
def test_paths_of_such_a_structure_turn_to_its_parameter_names(tmp_path):
    net = Mirror(prefix="ssd0_")
    net.initialize()
    net(mx.nd.zeros((1, 4, 32, 32)))
    net.save_parameters(str(tmp_path / "a.params"))
    paths = read_params(tmp_path / "a.params")
    assert "features.resnetmlperf0_stage1_batchnorm0_running_var" in paths
    assert "predictors.1.predictor.bias" in paths
    named = {nvidia_name(path): value for path, value in paths.items()}
    wanted = {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}
    assert named.keys() == wanted.keys()
    assert all(np.array_equal(named[name], wanted[name]) for name in wanted)
    trained = {name for name in named if "running" not in name}
    assert trained < set(NAMES)


def test_names_of_later_networks_of_a_process():
    assert nvidia_name("ssd3_resnetmlperf2_conv0_weight") == STEM
    assert nvidia_name("ssd1_expand_conv4_bias") == "ssd0_expand_conv4_bias"
    assert nvidia_name("features.resnetmlperf1_conv0_weight") == STEM
    assert [nvidia_name(name) for name in NAMES] == NAMES
    assert nvidia_name("backbone.stem.0.weight") == "backbone.stem.0.weight"


def test_names_of_convolutions_fused_with_their_norms():
    """As the published code of v1.1 maps them to its backbone file."""
    stage = "ssd0_resnetmlperf0_stage2_"
    assert nvidia_name(f"{stage}convbn1_weight") == f"{stage}conv1_weight"
    assert nvidia_name(f"{stage}convbn1_weight2") == f"{stage}conv2_weight"
    assert nvidia_name(f"{stage}convbn1_running_var2") == f"{stage}batchnorm2_running_var"
    assert nvidia_name("features.resnetmlperf0_convbn0_gamma") == "ssd0_resnetmlperf0_batchnorm0_gamma"


@pytest.fixture(scope="module")
def source():
    mx.random.seed(6)
    net = get_model("ssd_resnet34")
    for parameter in net.collect_params(".*running_(mean|var)").values():
        parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
    return {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}


def path_of(name):
    if "convpredictor" in name:
        number, _, leaf = name[len("ssd0_convpredictor") :].split("_")
        return f"predictors.{number}.predictor.{leaf}"
    return "features." + name[len("ssd0_") :]


def nvidias(arrays, layout, half, paths):
    """The arrays as NVIDIA's training in this layout and precision would have them."""
    file = {}
    for name, value in arrays.items():
        if layout == "NHWC":
            value = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
            if name == STEM:
                value = np.concatenate([value, np.full_like(value[..., :1], 9)], 3)
            if "convpredictor" in name:
                value = np.concatenate([value, np.full_like(value[: -len(value) % 8], 9)])
        if half and "batchnorm" not in name:
            value = value.astype(np.float16)
        file[path_of(name) if paths else name] = value
    return file


def test_the_literal_names_are_all_there(source):
    assert [name for name in source if "running" not in name] == NAMES
    assert len(NAMES) == 119


@pytest.mark.parametrize(
    ("layout", "half", "paths", "ours"),
    [
        ("NCHW", False, True, "NHWC"),
        ("NHWC", True, True, "NCHW"),
        ("NHWC", True, False, "NHWC"),
        ("NHWC", False, True, "NCHW"),
    ],
)
def test_they_load(source, tmp_path, layout, half, paths, ours):
    file = nvidias(source, layout, half, paths)
    assert (layout == "NHWC") == (any(len(value) == 344 for value in file.values()))
    write_params(file, tmp_path / "nvidia.params")
    net = get_model("ssd_resnet34", layout=ours)
    net.load_parameters(str(tmp_path / "nvidia.params"))
    other = get_model("ssd_resnet34", layout=ours, pretrained=tmp_path / "nvidia.params")
    for one in (net, other):
        for name, parameter in one.collect_params().items():
            wanted = source[name]
            if half and "batchnorm" not in name:
                wanted = wanted.astype(np.float16).astype(np.float32)
            if ours == "NHWC" and wanted.ndim == 4:
                wanted = wanted.transpose(0, 2, 3, 1)
            assert np.array_equal(parameter.data().asnumpy(), wanted), name


def test_they_convert(source, tmp_path):
    write_params(nvidias(source, "NHWC", False, True), tmp_path / "nvidia.params")
    convert_file(tmp_path / "nvidia.params", tmp_path / "plain.params")
    plain = read_params(tmp_path / "plain.params")
    assert plain.keys() == source.keys()
    assert all(np.array_equal(plain[name], source[name]) for name in source)
    convert_file(tmp_path / "nvidia.params", tmp_path / "a.ckpt")
    assert load(tmp_path / "a.ckpt", device="cpu").model_name == "ssd_resnet34"
    convert_file(tmp_path / "nvidia.params", tmp_path / "a.pickle")
    assert np.array_equal(read_pickle(tmp_path / "a.pickle")["conv0_weight"], source[STEM])
    net = get_model("ssd_resnet34", classes=["cat"])
    load_backbone(net, tmp_path / "nvidia.params")
    assert np.array_equal(net.backbone.stem[0].weight.data().asnumpy(), source[STEM])


def test_only_padding_is_cut():
    shapes = {"stem": (8, 3, 7, 7), "head": (12, 8, 3, 3), "other": (12,)}
    padded = {"stem": np.ones((8, 4, 7, 7)), "head": np.ones((16, 8, 3, 3)), "other": np.ones(16)}
    assert {name: a.shape for name, a in cut_padding(padded, shapes).items()} == shapes
    # Rows too many without the stem's padding are not NVIDIA's: another number of classes.
    plain = {**padded, "stem": np.ones((8, 3, 7, 7))}
    assert cut_padding(plain, shapes)["head"].shape == (16, 8, 3, 3)
    assert cut_padding({**padded, "head": np.ones((24, 8, 3, 3))}, shapes)["head"].shape == (24, 8, 3, 3)


def test_files_of_other_classes_are_refused(source, tmp_path):
    write_params(nvidias(source, "NHWC", True, True), tmp_path / "nvidia.params")
    with pytest.raises(
        UserError, match=r"does not fit ssd_resnet34: ssd0_convpredictor0_conv0_weight is \(344,"
    ):
        convert_file(tmp_path / "nvidia.params", tmp_path / "a.pth", "ssd_resnet34", ["cat", "dog"])
