"""A backbone in one file: VGG-16 with batch norm, and an SSD300 on it.

    gluon-ssd train --plugin examples/backbone.py --model ssd_vgg16_bn --data FOLDER \\
        --pretrained-backbone vgg16_bn-6c64b313.pth

Sources: Simonyan and Zisserman, "Very Deep Convolutional Networks" (2015); Liu et al., "SSD: Single Shot
MultiBox Detector" (2016), which predicts from the fourth stage on, as here. Weights are those of
torchvision's vgg16_bn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mxnet.gluon import nn

from gluon_ssd.anchors import SSD300_COCO
from gluon_ssd.data.coco_names import COCO_CLASSES
from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.model_zoo import Backbone, ModelRow, register_model
from gluon_ssd.model_zoo.reference_names import Entry, conv_entries, norm_entries
from gluon_ssd.model_zoo.ssd import SSD
from gluon_ssd.model_zoo.ssd_models import SSD300_EXTRAS
from gluon_ssd.nn import Conv2D, MaxPool2D, norm

# Channels and convolutions of each stage.
VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG(Backbone):
    """The maps of the last two stages. Every stage but the first begins with a pooling that rounds up."""

    def __init__(self, stages: Sequence[tuple[int, int]] = VGG16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        strides = [2**index for index in range(len(stages))]
        self.feature_info = [(channels, stride) for (channels, _), stride in zip(stages, strides)][-2:]
        with self.name_scope():
            # What freezing counts.
            self.parts = nn.HybridSequential(prefix="")
            in_channels = 3
            for index, (channels, count) in enumerate(stages):
                part = nn.HybridSequential(prefix=f"stage{index}_")
                with part.name_scope():
                    if index:
                        part.add(MaxPool2D(2, 2, 0, ceil_mode=True))
                    for _ in range(count):
                        conv = Conv2D(channels, 3, padding=1, in_channels=in_channels, use_bias=True)
                        part.add(conv, norm(channels, act="relu"))
                        in_channels = channels
                self.parts.add(part)

    def reference_names(self) -> list[Entry]:
        """torchvision numbers all layers in a row: convolution, norm, ReLU, and the pooling of each stage."""
        entries, number = [], 0
        for index, part in enumerate(self.parts):
            layers = list(part)[1:] if index else list(part)
            for conv, its_norm in zip(layers[::2], layers[1::2]):
                entries += conv_entries(conv, f"features.{number}")
                entries += norm_entries(its_norm, f"features.{number + 1}")
                number += 3
            number += 1
        return entries

    def hybrid_forward(self, F: Any, x: Any) -> list[Any]:
        maps = []
        for part in self.parts:
            x = part(x)
            maps.append(x)
        return maps[-2:]


@register_model(
    ModelRow(
        name="ssd_vgg16_bn",
        family="ssd",
        backbone="vgg16_bn",
        input_size=(300, 300),
        default_classes=COCO_CLASSES,
        summary="SSD300 on VGG-16 with batch norm",
        source="Liu et al. 2016",
        default_augment="ssd",
    )
)
def build_ssd_vgg(row: ModelRow, classes: Sequence[str]) -> SSD:
    backbone, preprocess = VGG(prefix="ssd0_vgg0_"), Preprocess(size=row.input_size)
    # The backbone has two of the six maps, so that the first extra layer is not needed.
    extras = SSD300_EXTRAS[1:]
    return SSD(row.name, backbone, extras, SSD300_COCO, classes, preprocess, norm=True, prefix="ssd0_")
