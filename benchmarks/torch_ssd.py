"""MLPerf's SSD300-ResNet34 and its loss in PyTorch, the peer of the benchmark of training steps.

Written from the description of the network in Liu et al. (2016) and of its shapes in the reference; the
weights are random.
"""

from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from torch import nn

# Channels between the two convolutions of an extra layer, channels after them, stride.
EXTRAS = ((256, 512, 2), (256, 512, 2), (128, 256, 2), (128, 256, 1), (128, 256, 1))
BOXES, CLASSES = (4, 6, 6, 6, 4, 4), 81


class Block(nn.Module):
    """The basic block of a ResNet."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(y + self.shortcut(x), inplace=True)


class SSD(nn.Module):
    """Maps of 38, 19, 10, 5, 3 and 1 squares to logits (B, A, 81) and box deltas (B, A, 4)."""

    def __init__(self) -> None:
        super().__init__()
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
        stages, inputs = [], 64
        for count, outputs, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 1)):
            for number in range(count):
                stages.append(Block(inputs, outputs, stride if number == 0 else 1))
                inputs = outputs
        self.backbone = nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *stages)
        channels = (256, 512, 512, 256, 256, 256)
        self.extras = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, middle, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(middle, outputs, 3, stride, int(stride == 2)),
                nn.ReLU(inplace=True),
            )
            for inputs, (middle, outputs, stride) in zip(channels, EXTRAS)
        )
        heads = list(zip(channels, BOXES))
        self.classes = nn.ModuleList(nn.Conv2d(c, boxes * CLASSES, 3, padding=1) for c, boxes in heads)
        self.boxes = nn.ModuleList(nn.Conv2d(c, boxes * 4, 3, padding=1) for c, boxes in heads)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = [self.backbone(x)]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return _flat(self.classes, maps, CLASSES), _flat(self.boxes, maps, 4)


def _flat(heads: nn.ModuleList, maps: list[torch.Tensor], width: int) -> torch.Tensor:
    rows = [head(x).permute(0, 2, 3, 1).reshape(len(x), -1, width) for head, x in zip(heads, maps)]
    return torch.cat(rows, 1)


def multibox_loss(
    logits: torch.Tensor, deltas: torch.Tensor, classes: torch.Tensor, boxes: torch.Tensor
) -> torch.Tensor:
    """The loss of SSD with three hard negatives for every positive."""
    entropy = F.cross_entropy(logits.transpose(1, 2), classes, reduction="none")
    positive = classes > 0
    count = positive.sum(1)
    hardness = torch.where(positive, torch.zeros_like(entropy), entropy.detach())
    rank = hardness.sort(1, descending=True)[1].sort(1)[1]
    negative = rank < (3 * count).clamp(max=logits.shape[1]).unsqueeze(1)
    distance = (F.smooth_l1_loss(deltas, boxes, reduction="none").sum(2) * positive).sum(1)
    total = distance + (entropy * (positive | negative)).sum(1)
    return (total * (count > 0) / count.clamp(min=1)).mean()


def train_step(images: object, targets: list[object], precision: str) -> Callable[[], None]:
    """Returns one step of SGD, in channels-last order, in bfloat16 by autocast for ``bf16``."""
    torch.manual_seed(0)
    net = SSD().to(memory_format=torch.channels_last)
    x = torch.as_tensor(images).to(memory_format=torch.channels_last)
    classes, boxes = torch.as_tensor(targets[0]).long(), torch.as_tensor(targets[1])
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits, deltas = net(x)
        multibox_loss(logits.float(), deltas.float(), classes, boxes).backward()
        optimizer.step()

    return work
