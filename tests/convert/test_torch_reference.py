"""Our weights in PyTorch give our outputs. Optional: needs torch beside mxnet (pip install torch==2.13.0)."""

import numpy as np
import pytest

from gluon_ssd.convert import convert_file

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
F = torch.nn.functional
DEPTHS = {"model.layer1.4": (3, 1), "model.layer1.5": (4, 2), "model.layer2.0": (6, 1)}
EXTRAS = [(2, 1), (2, 1), (2, 1), (1, 0), (1, 0)]


def norm(state, x, name):
    leaves = (state[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *leaves, eps=1e-5)


def block(state, x, name, stride):
    y = F.relu(norm(state, F.conv2d(x, state[f"{name}.conv1.weight"], None, stride, 1), f"{name}.bn1"))
    y = norm(state, F.conv2d(y, state[f"{name}.conv2.weight"], None, 1, 1), f"{name}.bn2")
    shortcut = state.get(f"{name}.downsample.0.weight")
    if shortcut is not None:
        x = norm(state, F.conv2d(x, shortcut, None, stride), f"{name}.downsample.1")
    return F.relu(y + x)


def mlperf_ssd(state, x):
    """SSD300 of MLPerf by its description: (B, 4, 8732) box codes and (B, 81, 8732) logits, size-major."""
    x = F.conv2d(x, state["model.layer1.0.weight"], None, 2, 3)
    x = F.max_pool2d(F.relu(norm(state, x, "model.layer1.1")), 3, 2, 1)
    for stage, (depth, stride) in DEPTHS.items():
        for number in range(depth):
            x = block(state, x, f"{stage}.{number}", stride if number == 0 else 1)
    maps = [x]
    for index, (stride, padding) in enumerate(EXTRAS):
        name = f"additional_blocks.{index}"
        x = F.relu(F.conv2d(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"]))
        x = F.relu(F.conv2d(x, state[f"{name}.2.weight"], state[f"{name}.2.bias"], stride, padding))
        maps.append(x)
    heads = []
    for kind, channels in (("loc", 4), ("conf", 81)):
        rows = [
            F.conv2d(m, state[f"{kind}.{i}.weight"], state[f"{kind}.{i}.bias"], 1, 1)
            for i, m in enumerate(maps)
        ]
        heads.append(torch.cat([row.reshape(len(row), channels, -1) for row in rows], 2))
    return heads


def test_the_written_file_gives_our_outputs(tmp_path):
    import mxnet as mx

    from gluon_ssd import get_model
    from gluon_ssd.anchors import SSD300_COCO

    mx.random.seed(3)
    net = get_model("ssd_resnet34")
    for parameter in net.collect_params(".*running_(mean|var)").values():
        parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
    net.collect_params().save(str(tmp_path / "last.params"))
    convert_file(tmp_path / "last.params", tmp_path / "out.pth")
    state = torch.load(tmp_path / "out.pth", weights_only=True)
    image = np.random.RandomState(0).normal(size=(1, 3, 300, 300)).astype(np.float32)
    logits, codes = (array.asnumpy()[0] for array in net(mx.nd.array(image)))
    with torch.no_grad():
        loc, conf = (head.numpy()[0].T for head in mlperf_ssd(state, torch.from_numpy(image)))
    order = spatial_major(SSD300_COCO)
    assert np.abs(logits - conf[order]).max() < 1e-5 * np.abs(conf).max()
    assert np.abs(codes - loc[order]).max() < 1e-5 * np.abs(loc).max()


def spatial_major(default_boxes):
    """The reference's row (map, size, cell) of each of our rows (map, cell, size)."""
    order, start = [], 0
    for side, boxes in zip(default_boxes.map_sizes, default_boxes.per_cell):
        rows = np.arange(start, start + boxes * side * side).reshape(boxes, side * side)
        order.append(rows.T.ravel())
        start += rows.size
    return np.concatenate(order)
