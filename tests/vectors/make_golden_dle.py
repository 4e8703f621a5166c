"""Makes golden/ssd300_resnet50_dle_train5.npz: PYTHONPATH=tests/support python tests/vectors/make_golden_dle.py.

Five training steps of DeepLearningExamples' SSD300 with ResNet-50, written anew in PyTorch (2.13.0) from its
facts and run in float64 and float32; on two cores it takes about ten minutes. Before that the network is held to
the outputs of the reference itself, and targets and loss to its own, which are in the other golden files.

Step s = 0 .. 4: images ``image_input(3000 + s, (4, 3, 300, 300))``, objects ``ssd_gt(3100 + s, [1, 3, 5, 7])``;
SGD with lr 1e-3, momentum 0.9 and weight decay 5e-4 on weights alone, not on biases and norms. ``loss`` and
``loss32`` (5,): of float64 and of float32. A row for every tensor ``name``: ``index`` (N, 16), places in it;
``after`` (N, 16), float64's values there after the last step; ``absmax`` (N,), the tensor's largest absolute
value; ``noise`` (N,), the largest difference of float32 in the whole tensor, as a share of that.
"""

from __future__ import annotations

from typing import Any

import golden
import numpy as np
import torch
from torch import nn
from torch.nn import functional

OUTPUT = golden.FOLDER / "ssd300_resnet50_dle_train5.npz"
DEFAULTS = golden.load_golden("default_boxes")


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if shortcut:
            convolution = nn.Conv2d(inputs, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(4 * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(inputs, width, stride, shortcut=True)
    return nn.Sequential(first, *[Bottleneck(4 * width, width, 1, False) for _ in range(blocks - 1)])


class Backbone(nn.Module):
    """ResNet-50 up to its third stage, which keeps the resolution."""

    def __init__(self) -> None:
        super().__init__()
        stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        stages = stage(64, 64, 3, 1), stage(256, 128, 4, 2), stage(512, 256, 6, 1)
        self.feature_extractor = nn.Sequential(*stem, *stages)


def extra_block(inputs: int, middle: int, outputs: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, middle, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, outputs, 3, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Network(nn.Module):
    """Returns box codes (B, 4, 8732) and class logits (B, 81, 8732), box shapes before places in a map."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor = Backbone()
        channels, middles = [1024, 512, 512, 256, 256, 256], [256, 256, 128, 128, 128]
        self.additional_blocks = nn.ModuleList(
            extra_block(*sizes, *([2, 1] if number < 3 else [1, 0]))
            for number, sizes in enumerate(zip(channels, middles, channels[1:]))
        )
        boxes = [4, 6, 6, 6, 4, 4]
        self.loc = nn.ModuleList(nn.Conv2d(c, 4 * n, 3, padding=1) for c, n in zip(channels, boxes))
        self.conf = nn.ModuleList(nn.Conv2d(c, 81 * n, 3, padding=1) for c, n in zip(channels, boxes))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = [self.feature_extractor.feature_extractor(x)]
        for block in self.additional_blocks:
            maps.append(block(maps[-1]))
        boxes = [head(x).reshape(len(x), 4, -1) for head, x in zip(self.loc, maps)]
        classes = [head(x).reshape(len(x), 81, -1) for head, x in zip(self.conf, maps)]
        return torch.cat(boxes, 2), torch.cat(classes, 2)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), 2)
    areas, other_areas = (np.prod(some[:, 2:] - some[:, :2], 1) for some in (boxes, others))
    return common / (areas[:, None] + other_areas - common)


def targets(boxes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (8732,), 0 for background, and box codes (4, 8732) of one image."""
    places = DEFAULTS["xywh"].astype(np.float64)
    shares = overlaps(boxes.astype(np.float64), DEFAULTS["ltrb"].astype(np.float64))
    matched, best = shares.argmax(0), shares.max(0)
    own = shares.argmax(1)
    matched[own], best[own] = np.arange(len(boxes)), 2
    found = np.where(best > 0.5, labels[matched], 0)
    sizes = (boxes[:, 2:] - boxes[:, :2])[matched]
    centres = (boxes[:, :2] + boxes[:, 2:])[matched] / 2
    codes = np.concatenate([(centres - places[:, :2]) / places[:, 2:] * 10, np.log(sizes / places[:, 2:]) * 5], 1)
    return found, np.where(found[:, None] > 0, codes, 0).T


def loss_of(outputs: Any, labels: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Smooth L1 over positives, cross entropy over them and three times as many hard negatives."""
    positive = labels > 0
    count = positive.sum(1)
    box = (functional.smooth_l1_loss(outputs[0], codes, reduction="none").sum(1) * positive).sum(1)
    entropy = functional.cross_entropy(outputs[1], labels, reduction="none")
    ranks = entropy.detach().masked_fill(positive, 0).argsort(1, descending=True).argsort(1)
    hard = ranks < (3 * count).clamp(max=labels.shape[1])[:, None]
    total = box + (entropy * (positive.to(entropy.dtype) + hard.to(entropy.dtype))).sum(1)
    return (total * (count > 0) / count.clamp(min=1)).mean()


def batch(seed: int, counts: list[int], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    found = [targets(*objects) for objects in golden.seeded.ssd_gt(seed, counts)]
    labels, codes = (np.stack(part) for part in zip(*found))
    return torch.tensor(labels), torch.tensor(codes, dtype=dtype)


def network(dtype: torch.dtype) -> Network:
    net = Network()
    state = golden.seeded_weights("ssd300_resnet50_dle")
    net.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return net.to(dtype)


def check() -> None:
    """Raises AssertionError where network or loss is not the reference's."""
    outputs = golden.load_golden("ssd300_resnet50_dle_outputs")
    with torch.no_grad():
        found = network(torch.float64).eval()(torch.tensor(golden.seeded.image_input(7, (2, 3, 300, 300))).double())
    for name, value in zip(("loc", "conf"), found):
        assert golden.relative_error(outputs, name, value.numpy()) < 1e-9, name
    wanted = golden.load_golden("ssd_encode_loss")
    for number in (0, 1, 3):
        found, codes = targets(wanted[f"gt_boxes{number}"], wanted[f"gt_labels{number}"])
        places = wanted[f"pos_index{number}"]
        np.testing.assert_array_equal(np.flatnonzero(found), places)
        np.testing.assert_array_equal(found[places], wanted[f"pos_label{number}"])
        np.testing.assert_allclose(codes.T[places], wanted[f"pos_target{number}"], atol=1e-5)
        preds = golden.seeded.ssd_loss_preds(int(wanted["loss_pred_seed"]), 6)
        one = [torch.tensor(part[number : number + 1], dtype=torch.float64) for part in preds]
        loss = loss_of(one, torch.tensor(found)[None], torch.tensor(codes)[None])
        np.testing.assert_allclose(float(loss), wanted["loss_per_image"][number], rtol=1e-5)


def train(dtype: torch.dtype) -> tuple[list[float], dict[str, np.ndarray]]:
    net = network(dtype).train()
    weights = [param for param in net.parameters() if param.dim() > 1]
    others = [param for param in net.parameters() if param.dim() == 1]
    groups = [{"params": weights, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0}]
    optimizer, losses = torch.optim.SGD(groups, lr=1e-3, momentum=0.9), []
    for number in range(5):
        images = torch.tensor(golden.seeded.image_input(3000 + number, (4, 3, 300, 300))).to(dtype)
        loss = loss_of(net(images), *batch(3100 + number, [1, 3, 5, 7], dtype))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(dtype, number, losses[-1], flush=True)
    return losses, {name: value.double().numpy() for name, value in net.state_dict().items()}


def main() -> None:
    check()
    losses, state = train(torch.float64)
    losses32, state32 = train(torch.float32)
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    index = np.array([golden.seeded.subset_indices(state[name].size, 20)[:16] for name in names])
    absmax = np.array([np.abs(state[name]).max() for name in names])
    differences = np.array([np.abs(state32[name] - state[name]).max() for name in names])
    np.savez_compressed(
        OUTPUT,
        loss=losses,
        loss32=losses32,
        name=names,
        index=index.astype(np.int32),
        after=np.array([state[name].ravel()[row] for name, row in zip(names, index)], np.float32),
        absmax=absmax,
        noise=differences / absmax,
    )


if __name__ == "__main__":
    main()
