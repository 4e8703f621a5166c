"""Rows of GluonCV's own SSDs, by the names that it has for them. They are not listed: GluonCV is an extra."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..data.coco_names import COCO_CLASSES
from ..errors import UserError, unknown
from .registry import Builder, ModelRow

if TYPE_CHECKING:
    from .gluoncv_ssd import GluonCVSSD

PREFIX = "gluoncv:"
# What a name of GluonCV's ends in: the data set of its published weights, or classes of one's own.
_DATA = {
    "ssd_300_vgg16_atrous": "voc coco custom",
    "ssd_512_vgg16_atrous": "voc coco custom",
    "ssd_512_resnet18_v1": "voc coco",
    "ssd_512_resnet50_v1": "voc coco custom",
    "ssd_512_resnet101_v2": "voc",
    "ssd_512_resnet152_v2": "voc",
    "ssd_512_mobilenet1.0": "voc coco custom",
    "ssd_300_mobilenet1.0_lite": "coco",
    "ssd_300_mobilenet0.25": "voc coco custom",
    "ssd_300_resnet34_v1b": "voc coco custom",
}
NAMES = tuple(f"{PREFIX}{network}_{data}" for network, sets in _DATA.items() for data in sets.split())
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def gluoncv_model(name: str) -> tuple[ModelRow, Builder]:
    """The row and the builder of ``gluoncv:NAME``. Raises UserError for an unknown one."""
    if name not in NAMES:
        raise unknown("model", name, NAMES)
    found = re.search(r"_(300|512)_.*_(voc|coco|custom)$", name)
    assert found  # all names end so
    size, data = int(found[1]), found[2]
    row = ModelRow(
        name=name,
        family="gluoncv_ssd",
        backbone=name[len(PREFIX) :],
        input_size=(size, size),
        default_classes={"voc": VOC_CLASSES, "coco": COCO_CLASSES, "custom": ()}[data],
        summary=f"GluonCV's {name[len(PREFIX) :]}, whose weight files load by its names",
        source="Liu et al. 2016; GluonCV",
        default_augment="ssd",
    )
    return row, build_gluoncv_ssd


def build_gluoncv_ssd(row: ModelRow, classes: Sequence[str]) -> GluonCVSSD:
    """Builds GluonCV's network. Raises UserError without classes, and where GluonCV is not installed."""
    from .gluoncv_ssd import GluonCVSSD

    if not classes:
        raise UserError(f"{row.name}: has no classes of its own; give classes, a list of names")
    return GluonCVSSD(row.name, row.backbone, classes, row.input_size)
