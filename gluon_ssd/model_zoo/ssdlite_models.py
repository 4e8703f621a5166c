"""Rows of the SSDLite models. What they are built with is imported when one is built: it needs MXNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..anchors import SSD300_COCO, DefaultBoxes
from ..data.coco_names import COCO_CLASSES
from ..data.preprocess import Preprocess
from .classifier_models import efficientnet_preprocess
from .registry import ModelRow, register_model
from .specs import EFFICIENTNETS, ExtraLayer

if TYPE_CHECKING:
    from .ssdlite import SSDLite


@dataclass(frozen=True)
class SSDLiteConfig:
    """Parts of an SSDLite on an EfficientNet-Lite: what `build_ssdlite` puts together."""

    backbone: str
    extras: tuple[ExtraLayer, ...]
    default_boxes: DefaultBoxes


_HALVING = (ExtraLayer(256, 512), ExtraLayer(128, 256), ExtraLayer(128, 256))
CONFIGS: dict[str, SSDLiteConfig] = {
    "ssdlite320_efficientnet_lite0": SSDLiteConfig(
        "efficientnet_lite0",
        (*_HALVING[:2], ExtraLayer(128, 256, stride=1, padding=0)),
        # The sizes of SSD300's boxes as shares of the image.
        DefaultBoxes(
            image_size=320,
            map_sizes=(40, 20, 10, 5, 3, 1),
            steps=(8, 16, 32, 64, 320 / 3, 320),
            scales=tuple(scale / 300 * 320 for scale in SSD300_COCO.scales),
            ratios=SSD300_COCO.ratios,
        ),
    ),
    "ssdlite512_efficientnet_lite2": SSDLiteConfig(
        "efficientnet_lite2",
        (*_HALVING, ExtraLayer(128, 256)),
        # Those of SSD512 on COCO.
        DefaultBoxes(
            image_size=512,
            map_sizes=(64, 32, 16, 8, 4, 2, 1),
            steps=(8, 16, 32, 64, 128, 256, 512),
            scales=tuple(512 * share for share in (0.04, 0.1, 0.26, 0.42, 0.58, 0.74, 0.9, 1.06)),
            ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
        ),
    ),
}


def build_ssdlite(row: ModelRow, classes: Sequence[str]) -> SSDLite:
    """Builds the SSDLite of ``row``; names of parameters do not depend on what was built before.

    Norms of the backbone are constants, so that small batches of few images do not disturb them.
    """
    from ..nn import FrozenBatchNorm
    from .efficientnet import EfficientNet
    from .ssdlite import SSDLite

    config = CONFIGS[row.name]
    backbone = EfficientNet(
        EFFICIENTNETS[config.backbone],
        config.default_boxes.image_size,
        strides=(8, 16, 32),
        expanded=True,
        norm=FrozenBatchNorm,
        prefix="ssdlite0_efficientnet0_",
    )
    return SSDLite(
        row.name,
        backbone,
        config.extras,
        config.default_boxes,
        classes,
        efficientnet_preprocess(row.input_size),
        prefix="ssdlite0_",
    )


for _name, _config in CONFIGS.items():
    _size = _config.default_boxes.image_size
    register_model(
        ModelRow(
            name=_name,
            family="ssdlite",
            backbone=_config.backbone,
            input_size=(_size, _size),
            default_classes=COCO_CLASSES,
            recipe=f"{_name}/finetune",
            summary=f"SSDLite on EfficientNet-L{_config.backbone[-4:]}, small and fast, trains on a laptop",
            source="Sandler et al. 2018; Tan and Le 2019",
            backbone_weights=_config.backbone,
            default_augment="ssd",
            anchors=_config.default_boxes.ltrb,
        )
    )(build_ssdlite)

_SHARES = (*(0.2 + 0.15 * index for index in range(6)), 1.0)
_SIDES = (20, 10, 5, 3, 2, 1)
TORCHVISION_BOXES = DefaultBoxes(
    image_size=320,
    map_sizes=_SIDES,
    steps=tuple(320 / side for side in _SIDES),
    scales=tuple(320 * share for share in _SHARES),
    ratios=((2, 3),) * 6,
    clip_centres=False,
)


def build_ssdlite_mobilenet(row: ModelRow, classes: Sequence[str]) -> SSDLite:
    """Builds torchvision's SSDLite320 on MobileNetV3-Large."""
    from .ssdlite_mobilenet import MobileNetV3, TorchvisionSSDLite

    return TorchvisionSSDLite(
        row.name,
        MobileNetV3(prefix="ssdlite0_mobilenet0_"),
        (*_HALVING, ExtraLayer(64, 128)),
        TORCHVISION_BOXES,
        classes,
        Preprocess(row.input_size, mean=(0.5,) * 3, std=(0.5,) * 3),
        prefix="ssdlite0_",
    )


register_model(
    ModelRow(
        name="ssdlite320_mobilenet_v3_large",
        family="ssdlite",
        backbone="mobilenet_v3_large",
        input_size=(320, 320),
        default_classes=COCO_CLASSES,
        recipe="ssdlite320_mobilenet_v3_large/finetune",
        summary="torchvision's SSDLite320 on MobileNetV3-Large, which reads its published COCO weights",
        source="Howard et al. 2019; torchvision ssdlite320_mobilenet_v3_large",
        weights="ssdlite320_mobilenet_v3_large",
        default_augment="ssd",
        anchors=TORCHVISION_BOXES.ltrb,
    )
)(build_ssdlite_mobilenet)
