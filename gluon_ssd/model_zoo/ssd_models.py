"""Rows of the SSD models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ..anchors import SSD300_COCO, DefaultBoxes
from ..data.coco_names import COCO_CLASSES
from ..data.preprocess import Preprocess
from .registry import ModelRow, register_model
from .resnet import RESNET34_SSD, ResNet, ResNetSpec
from .ssd import SSD, ExtraLayer


@dataclass(frozen=True)
class SSDConfig:
    """Parts of an SSD: what `build_ssd` puts together."""

    backbone: ResNetSpec
    extras: tuple[ExtraLayer, ...]
    default_boxes: DefaultBoxes
    norm: bool


SSD300_EXTRAS = (
    ExtraLayer(256, 512),
    ExtraLayer(256, 512),
    ExtraLayer(128, 256),
    ExtraLayer(128, 256, stride=1, padding=0),
    ExtraLayer(128, 256, stride=1, padding=0),
)

CONFIGS: dict[str, SSDConfig] = {
    "ssd_resnet34": SSDConfig(RESNET34_SSD, SSD300_EXTRAS, SSD300_COCO, norm=False),
    "ssd_tiny": SSDConfig(
        backbone=ResNetSpec(
            depths=(1, 2, 2),
            channels=(32, 64, 128),
            strides=(1, 2, 2),
            stem_channels=32,
            stem_kernel=3,
            outputs=(2, 3),
        ),
        extras=(ExtraLayer(64, 128), ExtraLayer(64, 128), ExtraLayer(64, 128, stride=1, padding=0)),
        default_boxes=DefaultBoxes(
            image_size=192,
            map_sizes=(24, 12, 6, 3, 1),
            steps=(8, 16, 32, 64, 192),
            scales=(18, 36, 64, 98, 136, 180),
            ratios=((2,), (2,), (2,), (2,), (2,)),
        ),
        norm=True,
    ),
}


def build_ssd(row: ModelRow, classes: Sequence[str]) -> SSD:
    """Builds the SSD of ``row``; parameter names are NVIDIA's, whatever else the process has built."""
    config = CONFIGS[row.name]
    return SSD(
        row.name,
        ResNet(config.backbone, prefix="ssd0_resnetmlperf0_"),
        config.extras,
        config.default_boxes,
        classes,
        Preprocess(size=row.input_size),
        norm=config.norm,
        prefix="ssd0_",
    )


register_model(
    ModelRow(
        name="ssd_resnet34",
        family="ssd",
        backbone="resnet34",
        input_size=(300, 300),
        default_classes=COCO_CLASSES,
        recipe="ssd_resnet34/mlperf",
        summary="MLPerf's SSD300: ResNet-34 v1.5, extra layers with bias",
        source="Liu et al. 2016; MLPerf training reference v0.6 to v1.1",
    )
)(build_ssd)
register_model(
    ModelRow(
        name="ssd_tiny",
        family="ssd",
        backbone="resnet11",
        input_size=(192, 192),
        default_classes=COCO_CLASSES,
        recipe="ssd_tiny/demo",
        summary="small SSD for the demo, tests and first steps on a laptop",
        source="this project",
    )
)(build_ssd)
