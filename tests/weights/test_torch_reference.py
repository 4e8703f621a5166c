"""Our weights in PyTorch give our outputs. Optional: needs torch beside mxnet (pip install torch==2.13.0)."""

import numpy as np
import pytest

from gluon_ssd.convert import convert_file

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
F = torch.nn.functional
EXTRAS = [(2, 1), (2, 1), (2, 1), (1, 0), (1, 0)]
MLPERF_SSD = {
    "stem": ("model.layer1.0", "model.layer1.1"),
    "stages": ("model.layer1.4", "model.layer1.5", "model.layer2.0"),
    "norm": False,
}
_BODY = "feature_extractor.feature_extractor"
DLE_SSD = {
    "stem": (f"{_BODY}.0", f"{_BODY}.1"),
    "stages": (f"{_BODY}.4", f"{_BODY}.5", f"{_BODY}.6"),
    "norm": True,
}
MLPERF_RETINANET = {"pyramid": "", "convs": ("0", "2", "4", "6"), "groups": 32}
TORCHVISION_RETINANET = {"pyramid": ".0", "convs": ("0.0", "1.0", "2.0", "3.0"), "groups": 1}


def norm(state, x, name):
    leaves = (state[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *leaves, eps=1e-5)


def block(state, x, name, stride, groups=1):
    """Two 3x3 convolutions, or three of which the 3x3 has the stride."""
    shortcut, y = state.get(f"{name}.downsample.0.weight"), x
    convs = [f"{name}.conv{number}" for number in (1, 2, 3) if f"{name}.conv{number}.weight" in state]
    strided = 0 if len(convs) == 2 else 1
    for index, conv in enumerate(convs):
        weight = state[f"{conv}.weight"]
        kernel = weight.shape[-1]
        step = stride if index == strided else 1
        y = F.conv2d(y, weight, None, step, kernel // 2, groups=groups if index == 1 else 1)
        y = norm(state, y, conv.replace(".conv", ".bn"))
        y = F.relu(y) if index + 1 < len(convs) else y
    if shortcut is not None:
        x = norm(state, F.conv2d(x, shortcut, None, stride), f"{name}.downsample.1")
    return F.relu(y + x)


def body(state, x, stem, stages, strides, groups=1):
    """The map of every stage of a residual network."""
    x = F.conv2d(x, state[f"{stem[0]}.weight"], None, 2, 3)
    x = F.max_pool2d(F.relu(norm(state, x, stem[1])), 3, 2, 1)
    maps = []
    for stage, stride in zip(stages, strides):
        numbers = {
            int(name[len(stage) + 1 :].split(".")[0]) for name in state if name.startswith(f"{stage}.")
        }
        for number in sorted(numbers):
            x = block(state, x, f"{stage}.{number}", stride if number == 0 else 1, groups)
        maps.append(x)
    return maps


def extra(state, x, name, norms, stride=1, padding=0):
    """A convolution of an extra layer: with a bias, or a norm of the next number."""
    x = F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, padding)
    head, number = name.rsplit(".", 1)
    return F.relu(norm(state, x, f"{head}.{int(number) + 1}") if norms else x)


def ssd(state, x, stem, stages, norm):
    """SSD300 by its description: (B, 4, 8732) box deltas and (B, 81, 8732) logits, size-major."""
    maps = [body(state, x, stem, stages, (1, 2, 1))[-1]]
    for index, (stride, padding) in enumerate(EXTRAS):
        name = f"additional_blocks.{index}"
        x = extra(state, maps[-1], f"{name}.0", norm)
        maps.append(extra(state, x, f"{name}.3" if norm else f"{name}.2", norm, stride, padding))
    heads = []
    for kind, channels in (("loc", 4), ("conf", 81)):
        rows = [
            F.conv2d(m, state[f"{kind}.{i}.weight"], state[f"{kind}.{i}.bias"], 1, 1)
            for i, m in enumerate(maps)
        ]
        heads.append(torch.cat([row.reshape(len(row), channels, -1) for row in rows], 2))
    return heads


def retinanet(state, x, pyramid, convs, groups):
    """RetinaNet by its description: (B, A, K) logits and (B, A, 4) box deltas."""

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], stride, weight.shape[-1] // 2)

    stages = [f"backbone.body.layer{number}" for number in (1, 2, 3, 4)]
    stem = ("backbone.body.conv1", "backbone.body.bn1")
    maps = body(state, x, stem, stages, (1, 2, 2, 2), groups)[1:]
    inner = [conv(m, f"backbone.fpn.inner_blocks.{i}{pyramid}") for i, m in enumerate(maps)]
    for index in (1, 0):
        inner[index] = inner[index] + F.interpolate(inner[index + 1], size=inner[index].shape[-2:])
    levels = [conv(m, f"backbone.fpn.layer_blocks.{i}{pyramid}") for i, m in enumerate(inner)]
    levels.append(conv(levels[-1], "backbone.fpn.extra_blocks.p6", 2))
    levels.append(conv(F.relu(levels[-1]), "backbone.fpn.extra_blocks.p7", 2))
    outputs = []
    for kind, last in (("classification", "cls_logits"), ("regression", "bbox_reg")):
        head, rows = f"head.{kind}_head", []
        for level in levels:
            for name in convs:
                level = F.relu(conv(level, f"{head}.conv.{name}"))
            level = conv(level, f"{head}.{last}")
            rows.append(level.permute(0, 2, 3, 1).reshape(1, -1, level.shape[1] // 9))
        outputs.append(torch.cat(rows, 1))
    return outputs


def network(model, folder, **options):
    """A network with statistics that are not trivial, and its weights as PyTorch reads what we write."""
    import mxnet as mx

    from gluon_ssd import get_model

    mx.random.seed(3)
    net = get_model(model, **options)
    for name, parameter in net.collect_params(".*running_(mean|var)").items():
        # Means around 0: large ones leave nothing of a deep network behind its ReLUs.
        low, high = (0.5, 1.5) if name.endswith("var") else (-0.2, 0.2)
        parameter.set_data(mx.nd.random.uniform(low, high, parameter.shape))
    net.collect_params().save(str(folder / "last.params"))
    convert_file(folder / "last.params", folder / "out.pth", model)
    return net, torch.load(folder / "out.pth", weights_only=True)


def image_of(*size):
    return np.random.RandomState(0).normal(size=(1, 3, *size)).astype(np.float32)


@pytest.mark.parametrize(
    ("model", "style"),
    [
        ("ssd_resnet34", MLPERF_SSD),
        ("ssd_resnet18", DLE_SSD),
        ("ssd_resnet34_bn", DLE_SSD),
        ("ssd_resnet50", DLE_SSD),
        ("ssd_resnet101", DLE_SSD),
        ("ssd_resnet152", DLE_SSD),
    ],
)
def test_the_written_file_of_an_ssd_gives_our_outputs(tmp_path, model, style):
    import mxnet as mx

    from gluon_ssd.anchors import SSD300_COCO

    net, state = network(model, tmp_path)
    image = image_of(300, 300)
    logits, deltas = (array.asnumpy()[0] for array in net(mx.nd.array(image)))
    with torch.no_grad():
        loc, conf = (head.numpy()[0].T for head in ssd(state, torch.from_numpy(image), **style))
    order = spatial_major(SSD300_COCO)
    assert np.abs(logits - conf[order]).max() < 1e-5 * np.abs(conf).max()
    assert np.abs(deltas - loc[order]).max() < 1e-5 * np.abs(loc).max()


@pytest.mark.parametrize(
    ("model", "style", "channels"),
    [
        ("retinanet_resnext50_32x4d", MLPERF_RETINANET, 264),
        ("retinanet_resnet50", TORCHVISION_RETINANET, 91),
    ],
)
def test_the_written_file_of_a_retinanet_gives_our_outputs(tmp_path, model, style, channels):
    import mxnet as mx

    from gluon_ssd.data.coco_names import COCO_IDS

    net, state = network(model, tmp_path)
    image = image_of(128, 96)
    logits, deltas = (array.asnumpy() for array in net(mx.nd.array(image)))
    with torch.no_grad():
        conf, loc = (head.numpy() for head in retinanet(state, torch.from_numpy(image), **style))
    assert conf.shape[2] == channels
    if channels == 91:  # by raw category id
        conf = conf[..., [COCO_IDS[name] for name in net.classes]]
    assert np.abs(logits - conf).max() < 1e-5 * np.abs(conf).max()
    assert np.abs(deltas - loc).max() < 1e-5 * np.abs(loc).max()


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_a_state_dict_of_torch_goes_in_as_it_is(kind):
    """With gradients, as parameters have them."""
    from gluon_ssd import get_model
    from gluon_ssd.convert import load_torch_state, to_torch_state

    source, net = (get_model("resnet18", classes=["a"]) for _ in range(2))
    state = {
        name: torch.nn.Parameter(torch.from_numpy(value).to(getattr(torch, kind)))
        for name, value in to_torch_state(source).items()
    }
    load_torch_state(net, state)
    for name, value in to_torch_state(net).items():
        assert np.array_equal(value, state[name].detach().float().numpy())


def spatial_major(default_boxes):
    """The reference's row (map, size, cell) of each of our rows (map, cell, size)."""
    order, start = [], 0
    for side, boxes in zip(default_boxes.map_sizes, default_boxes.per_cell):
        rows = np.arange(start, start + boxes * side * side).reshape(boxes, side * side)
        order.append(rows.T.ravel())
        start += rows.size
    return np.concatenate(order)
