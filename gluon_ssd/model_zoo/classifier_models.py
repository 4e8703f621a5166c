"""The rows of the classifiers.

The modules with which they are built are imported when one is built, because they need MXNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..data.preprocess import Preprocess
from .registry import ModelRow, register_model
from .specs import RESNETS

if TYPE_CHECKING:
    from .classifier import Classifier


def build_classifier(row: ModelRow, classes: Sequence[str]) -> Classifier:
    """Builds the classifier of ``row``; its parameter names do not depend on what was built before."""
    from .classifier import Classifier
    from .resnet import ResNet

    backbone = ResNet(RESNETS[row.backbone], prefix="classifier0_resnet0_")
    return Classifier(row.name, backbone, classes, Preprocess(size=row.input_size), prefix="classifier0_")


for _spec in RESNETS.values():
    _title = _spec.name.replace("resnet", "ResNet-").replace("resnext", "ResNeXt-").replace("_", " ")
    register_model(
        ModelRow(
            name=_spec.name,
            family="resnet",
            backbone=_spec.name,
            input_size=(224, 224),
            # The classes of ImageNet by number, in the order of the published weights.
            default_classes=tuple(str(index) for index in range(1000)),
            summary=f"torchvision's {_title}: 1000-class classifier, and maps of its four stages",
            source="Xie et al. 2017" if _spec.groups > 1 else "He et al. 2016",
            kind="backbone",
            weights=_spec.name,
        )
    )(build_classifier)
