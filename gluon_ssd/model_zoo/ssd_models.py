"""The rows of the SSD models.

The modules with which they are built are imported when one is built, because they need MXNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..anchors import SSD300_COCO, SSD1200_COCO, DefaultBoxes
from ..data.coco_names import COCO_CLASSES
from ..data.preprocess import Preprocess
from ..errors import UserError
from .registry import MlperfBenchmark, ModelRow, register_model
from .specs import RESNETS, ExtraLayer, ReferenceBody, ResNetSpec

if TYPE_CHECKING:
    from .gluoncv_backbone import GluonCVBackbone
    from .ssd import SSD


@dataclass(frozen=True)
class SSDConfig:
    """The parts of an SSD that `build_ssd` puts together."""

    backbone: ResNetSpec
    extras: tuple[ExtraLayer, ...]
    default_boxes: DefaultBoxes
    norm: bool
    reference: ReferenceBody | None = None
    head_stride: int = 1


# Both references keep torchvision's layers in sequences, which number the stem's convolution 0, its norm 1
# and the stages from 4 on. MLPerf's has a second sequence from the third stage on.
MLPERF_BODY = ReferenceBody(
    ("model.layer1.0", "model.layer1.1"), ("model.layer1.4", "model.layer1.5", "model.layer2.0")
)
_DLE = "feature_extractor.feature_extractor"
DLE_BODY = ReferenceBody((f"{_DLE}.0", f"{_DLE}.1"), (f"{_DLE}.4", f"{_DLE}.5", f"{_DLE}.6"))
SSD300_EXTRAS = (
    ExtraLayer(256, 512),
    ExtraLayer(256, 512),
    ExtraLayer(128, 256),
    ExtraLayer(128, 256, stride=1, padding=0),
    ExtraLayer(128, 256, stride=1, padding=0),
)
# On a larger input the fourth layer halves its map as well.
SSD1200_EXTRAS = (*SSD300_EXTRAS[:3], replace(SSD300_EXTRAS[3], stride=2), SSD300_EXTRAS[4])
# For its smallest backbone DeepLearningExamples gives the last map half the channels.
RESNET18_EXTRAS = (*SSD300_EXTRAS[:-1], replace(SSD300_EXTRAS[-1], channels=128))


def _ssd300(backbone: str, extras: tuple[ExtraLayer, ...] = SSD300_EXTRAS) -> SSDConfig:
    return SSDConfig(RESNETS[backbone].truncated(), extras, SSD300_COCO, norm=True, reference=DLE_BODY)


CONFIGS: dict[str, SSDConfig] = {
    "ssd_resnet34": replace(_ssd300("resnet34"), norm=False, reference=MLPERF_BODY),
    "ssd_resnet34_1200": SSDConfig(
        RESNETS["resnet34"].truncated(),
        SSD1200_EXTRAS,
        SSD1200_COCO,
        norm=False,
        reference=MLPERF_BODY,
        head_stride=3,
    ),
    "ssd_resnet18": _ssd300("resnet18", RESNET18_EXTRAS),
    "ssd_resnet34_bn": _ssd300("resnet34"),
    "ssd_resnet50": _ssd300("resnet50"),
    "ssd_resnet101": _ssd300("resnet101"),
    "ssd_resnet152": _ssd300("resnet152"),
    "ssd_tiny": SSDConfig(
        backbone=ResNetSpec(
            "resnet11",
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


def build_ssd(row: ModelRow, classes: Sequence[str], *, backbone: str | None = None) -> SSD:
    """Builds the SSD of ``row``; its parameter names are NVIDIA's, whatever else the process has built.

    ``backbone`` is ``gluoncv:NAME`` for a classification network of GluonCV instead of the row's own. Raises
    UserError for a backbone that cannot be used.
    """
    from .resnet import ResNet
    from .ssd import SSD

    config = CONFIGS[row.name]
    extras, boxes = config.extras, config.default_boxes
    if backbone is None:
        body: Any = ResNet(config.backbone, prefix="ssd0_resnetmlperf0_")
    else:
        body = _foreign_backbone(backbone, boxes)
        # The backbone gives more maps than the row's own; as many of the first extra layers are left out.
        own = len(body.feature_info)
        extras = extras[len(extras) - len(boxes.steps) + own :]
        boxes = replace(boxes, map_sizes=(*body.map_sizes, *boxes.map_sizes[own:]))
    return SSD(
        row.name,
        body,
        extras,
        boxes,
        classes,
        Preprocess(size=row.input_size),
        norm=config.norm,
        head_stride=config.head_stride,
        reference=config.reference if backbone is None else None,
        prefix="ssd0_",
    )


def _foreign_backbone(backbone: str, boxes: DefaultBoxes) -> GluonCVBackbone:
    from .gluoncv_backbone import PREFIX, build_gluoncv_backbone

    if not isinstance(backbone, str) or not backbone.startswith(PREFIX):
        raise UserError(f"backbone is {backbone!r}; write {PREFIX}NAME for a network of GluonCV")
    # Classification networks end at stride 32; coarser maps come from extra layers.
    strides = [int(step) for step in boxes.steps if step <= 32]
    return build_gluoncv_backbone(backbone[len(PREFIX) :], strides, boxes.image_size, "ssd0_")


SSD_BENCHMARK = MlperfBenchmark(
    title="SSD",
    model="ssd_resnet34",
    target=0.23,
    versions={"1.0.0": "ssd", "1.1.0": "ssd"},
    tensors_until="1.1.0",
    keys=(
        "max_samples",
        "model_bn_span",
        "opt_learning_rate_warmup_steps",
        "opt_learning_rate_warmup_factor",
        "opt_learning_rate_decay_boundary_epochs",
        "opt_learning_rate_decay_factor",
    ),
    warmup_start=False,
)


def _register(name: str, summary: str, source: str, recipe: str, **fields: Any) -> None:
    """Registers a model of `CONFIGS`; ``fields`` are further ones of its row."""
    config = CONFIGS[name]
    size = config.default_boxes.image_size
    row = ModelRow(
        name=name,
        family="ssd",
        backbone=config.backbone.name,
        input_size=(size, size),
        default_classes=COCO_CLASSES,
        recipe=recipe,
        summary=summary,
        source=source,
        default_augment="ssd",
        mlperf=SSD_BENCHMARK,
        anchors=config.default_boxes.ltrb,
        **{"options": ("backbone",), **fields},
    )
    register_model(row)(build_ssd)


_register(
    "ssd_resnet34",
    "MLPerf's SSD300: ResNet-34 v1.5, extra layers with bias",
    "Liu et al. 2016; MLPerf training reference v0.6 to v1.1",
    recipe="ssd_resnet34/mlperf",
    backbone_weights="resnet34-mlperf",
)
_register(
    "ssd_resnet34_1200",
    "MLPerf Inference's SSD on 1200x1200, which reads its published COCO weights",
    "Liu et al. 2016; MLPerf Inference v0.5 to v2.0, ssd-resnet34",
    recipe="ssd_resnet34_1200/finetune",
    weights="ssd_resnet34_1200",
    backbone_weights="resnet34-mlperf",
    # A backbone of GluonCV would need default boxes of its own: cells are 3 pixels of a map apart.
    options=(),
)
for _name, _title in (
    ("ssd_resnet18", "ResNet-18"),
    ("ssd_resnet34_bn", "ResNet-34"),
    ("ssd_resnet50", "ResNet-50 v1.5"),
    ("ssd_resnet101", "ResNet-101 v1.5"),
    ("ssd_resnet152", "ResNet-152 v1.5"),
):
    _register(
        _name,
        f"DeepLearningExamples' SSD300: {_title}, extra layers with batch norm",
        "Liu et al. 2016; NVIDIA DeepLearningExamples, SSD300 v1.1",
        recipe=f"{_name}/dle",
        weights=_name if _name == "ssd_resnet50" else "",
        backbone_weights=CONFIGS[_name].backbone.name,
    )
_register(
    "ssd_tiny",
    "small SSD for the demo, tests and first steps on a laptop",
    "this project",
    recipe="ssd_tiny/demo",
)


TORCHVISION_BOXES = replace(SSD300_COCO, clip_centres=False)


def build_ssd_vgg(row: ModelRow, classes: Sequence[str]) -> SSD:
    """Builds torchvision's SSD300 on VGG-16; names of parameters do not depend on what was built before."""
    from .ssd_vgg import TorchvisionSSD, VGGFeatures

    backbone = VGGFeatures(prefix="ssd0_vgg0_")
    # torchvision's images are 0 to 255, less ImageNet's mean.
    preprocess = Preprocess(row.input_size, mean=(0.48235, 0.45882, 0.40784), std=(1 / 255,) * 3)
    return TorchvisionSSD(
        row.name, backbone, SSD300_EXTRAS[1:], TORCHVISION_BOXES, classes, preprocess, prefix="ssd0_"
    )


register_model(
    ModelRow(
        name="ssd300_vgg16",
        family="ssd",
        backbone="vgg16",
        input_size=(300, 300),
        default_classes=COCO_CLASSES,
        recipe="ssd300_vgg16/torchvision",
        summary="torchvision's SSD300 on VGG-16, which reads its published COCO weights",
        source="Liu et al. 2016; torchvision ssd300_vgg16",
        weights="ssd300_vgg16",
        default_augment="ssd",
        anchors=TORCHVISION_BOXES.ltrb,
    )
)(build_ssd_vgg)
