"""MLPerf's RetinaNet in PyTorch, the peer of the benchmark of its training step: torchvision's network.

ResNeXt50_32x4d with a feature pyramid, 264 classes and constant norms, of whose five stages three are
trained, as MLPerf's reference builds it from the same parts. The weights are random.
"""

from __future__ import annotations

from typing import Callable

import numpy as np
import torch
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

CLASSES = 264


def train_step(
    images: np.ndarray, boxes: np.ndarray, labels: np.ndarray, precision: str
) -> Callable[[], None]:
    """Returns one step of Adam, in channels-last order, in bfloat16 by autocast for ``bf16``.

    ``images`` are (B, 3, H, W), ``boxes`` (B, M, 4) ltrb in pixels, ``labels`` (B, M).
    """
    torch.manual_seed(0)
    parts = {"trainable_layers": 3, "returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}
    backbone = resnet_fpn_backbone(backbone_name="resnext50_32x4d", weights=None, **parts)
    net = RetinaNet(backbone, CLASSES).train().to(memory_format=torch.channels_last)
    x = torch.from_numpy(images).to(memory_format=torch.channels_last)
    pairs = zip(torch.from_numpy(boxes), torch.from_numpy(labels))
    targets = [{"boxes": box, "labels": label.long()} for box, label in pairs]
    batch = ImageList(x, [(x.shape[2], x.shape[3])] * len(x))
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-4)

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            features = list(net.backbone(x).values())
            outputs = net.head(features)
        outputs = {name: value.float() for name, value in outputs.items()}
        losses = net.compute_loss(targets, outputs, net.anchor_generator(batch, features))
        sum(losses.values()).backward()
        optimizer.step()

    return work
