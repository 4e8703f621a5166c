"""The rows of the classifiers.

The modules with which they are built are imported when one is built, because they need MXNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..data.preprocess import Preprocess
from .registry import ModelRow, register_model
from .specs import EFFICIENTNETS, RESNETS

if TYPE_CHECKING:
    from .classifier import Classifier


def build_classifier(row: ModelRow, classes: Sequence[str]) -> Classifier:
    """Builds the classifier of ``row``; its parameter names do not depend on what was built before."""
    from .classifier import Classifier
    from .resnet import ResNet

    backbone = ResNet(RESNETS[row.backbone], prefix="classifier0_resnet0_")
    return Classifier(row.name, backbone, classes, Preprocess(size=row.input_size), prefix="classifier0_")


def build_efficientnet(row: ModelRow, classes: Sequence[str]) -> Classifier:
    """Builds the EfficientNet-Lite of ``row``; names of parameters do not depend on what was built before."""
    from .classifier import Classifier
    from .efficientnet import EfficientNet

    backbone = EfficientNet(EFFICIENTNETS[row.backbone], prefix="classifier0_efficientnet0_")
    preprocess = efficientnet_preprocess(row.input_size)
    return Classifier(row.name, backbone, classes, preprocess, reference_output="_fc", prefix="classifier0_")


def efficientnet_preprocess(size: tuple[int, int]) -> Preprocess:
    """What the published weights were trained with: (value - 127) / 128 in every channel."""
    return Preprocess(size=size, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


# ImageNet's classes by their numbers, as in the published weights.
IMAGENET_CLASSES = tuple(str(index) for index in range(1000))

for _spec in RESNETS.values():
    _title = _spec.name.replace("resnet", "ResNet-").replace("resnext", "ResNeXt-").replace("_", " ")
    register_model(
        ModelRow(
            name=_spec.name,
            family="resnet",
            backbone=_spec.name,
            input_size=(224, 224),
            default_classes=IMAGENET_CLASSES,
            summary=f"torchvision's {_title}: 1000-class classifier, and maps of its four stages",
            source="Xie et al. 2017" if _spec.groups > 1 else "He et al. 2016",
            kind="backbone",
            weights=_spec.name,
        )
    )(build_classifier)
for _lite in EFFICIENTNETS.values():
    _title = f"EfficientNet-L{_lite.name.rsplit('_l')[-1]}"
    register_model(
        ModelRow(
            name=_lite.name,
            family="efficientnet",
            backbone=_lite.name,
            input_size=(_lite.image_size, _lite.image_size),
            default_classes=IMAGENET_CLASSES,
            summary=f"Google's {_title}: 1000-class classifier, small and fast",
            source="Tan and Le 2019",
            kind="backbone",
            weights=_lite.name,
        )
    )(build_efficientnet)
