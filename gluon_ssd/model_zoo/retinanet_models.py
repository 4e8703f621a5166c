"""The rows of the RetinaNet models.

The modules with which they are built are imported when one is built, because they need MXNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import index
from typing import TYPE_CHECKING

from ..anchors import RetinaAnchors
from ..data.coco_names import COCO_CLASSES
from ..data.openimages_names import OPENIMAGES_MLPERF_CLASSES
from ..data.preprocess import Preprocess
from ..errors import UserError
from .registry import MlperfBenchmark, ModelRow, register_model
from .specs import MLPERF_STYLE, RESNETS, TORCHVISION_STYLE, ReferenceStyle, ResNetSpec

if TYPE_CHECKING:
    from .retinanet import RetinaNet


@dataclass(frozen=True)
class RetinaNetConfig:
    """The parts of a RetinaNet that `build_retinanet` puts together.

    With ``improved`` it is torchvision's second version, whose backbone trains its norms.
    """

    backbone: ResNetSpec
    reference: ReferenceStyle
    anchors: RetinaAnchors = RetinaAnchors()
    improved: bool = False


CONFIGS = {
    "retinanet_resnext50_32x4d": RetinaNetConfig(RESNETS["resnext50_32x4d"], MLPERF_STYLE),
    "retinanet_resnet50": RetinaNetConfig(RESNETS["resnet50"], TORCHVISION_STYLE),
    "retinanet_resnet50_v2": RetinaNetConfig(RESNETS["resnet50"], TORCHVISION_STYLE, improved=True),
}


def build_retinanet(
    row: ModelRow,
    classes: Sequence[str],
    *,
    trainable_layers: int = 3,
    norm_epsilon: float = 1e-5,
    input_size: Sequence[int] | None = None,
) -> RetinaNet:
    """Builds the RetinaNet of ``row``; its parameter names do not depend on what was built before.

    ``trainable_layers`` is explained in `RetinaNet`. ``norm_epsilon`` is that of the frozen batch norms, 0
    for the weights that torchvision has published; its second version has none of these. ``input_size`` is
    the (height, width) in pixels to which images are resized; None stands for that of the row. Raises
    UserError for values that cannot be used.
    """
    from ..nn import FrozenBatchNorm, norm
    from .resnet import ResNet
    from .retinanet import RetinaNet

    if not isinstance(norm_epsilon, (int, float)) or not 0 <= norm_epsilon < 1:
        raise UserError(f"norm_epsilon is {norm_epsilon!r}; give a number from 0 to below 1")
    config = CONFIGS[row.name]
    # The pyramid reads the last three stages, of strides 8, 16 and 32.
    spec = replace(config.backbone, outputs=(2, 3, 4))
    frozen = partial(FrozenBatchNorm, epsilon=norm_epsilon)
    return RetinaNet(
        row.name,
        ResNet(spec, norm if config.improved else frozen, prefix="retinanet0_resnet0_"),
        config.anchors,
        classes,
        Preprocess(size=row.input_size if input_size is None else _checked(input_size)),
        trainable_layers=trainable_layers,
        reference=config.reference,
        improved=config.improved,
        prefix="retinanet0_",
    )


def _checked(size: Sequence[int]) -> tuple[int, int]:
    try:
        # `index` takes whole numbers of any type and refuses the others.
        height, width = (index(side) for side in size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 32:
        raise UserError(f"input_size is {size!r}; give height and width in pixels, at least 32 each")
    return height, width


RETINANET_BENCHMARK = MlperfBenchmark(
    title="RetinaNet",
    model="retinanet_resnext50_32x4d",
    target=0.34,
    # RetinaNet replaced SSD in the benchmark, and kept its name until version 5.
    versions={
        **dict.fromkeys(("2.0.0", "2.1.0", "3.0.0", "3.1.0", "4.0.0", "4.1.0"), "ssd"),
        **dict.fromkeys(("5.0.0", "5.1.0"), "retinanet"),
    },
    tensors_until="2.1.0",
    keys=("opt_learning_rate_warmup_epochs", "opt_learning_rate_warmup_factor"),
    warmup_start=True,
)

register_model(
    ModelRow(
        name="retinanet_resnext50_32x4d",
        family="retinanet",
        backbone="resnext50_32x4d",
        input_size=(800, 800),
        default_classes=OPENIMAGES_MLPERF_CLASSES,
        recipe="retinanet_resnext50_32x4d/mlperf",
        weights="retinanet_resnext50_32x4d",
        backbone_weights="resnext50_32x4d",
        summary="MLPerf's RetinaNet: ResNeXt-50 32x4d, 264 classes of OpenImages",
        source="Lin et al. 2017; MLPerf training reference v2.0 to v5.1",
        options=("trainable_layers", "norm_epsilon", "input_size"),
        mlperf=RETINANET_BENCHMARK,
        anchors=CONFIGS["retinanet_resnext50_32x4d"].anchors.ltrb,
    )
)(build_retinanet)
register_model(
    ModelRow(
        name="retinanet_resnet50",
        family="retinanet",
        backbone="resnet50",
        input_size=(800, 800),
        default_classes=COCO_CLASSES,
        recipe="retinanet_resnet50/torchvision",
        weights="retinanet_resnet50",
        backbone_weights="resnet50",
        summary="torchvision's RetinaNet, which reads its published COCO weights",
        source="Lin et al. 2017; torchvision retinanet_resnet50_fpn",
        options=("trainable_layers", "norm_epsilon", "input_size"),
        mlperf=RETINANET_BENCHMARK,
        anchors=CONFIGS["retinanet_resnet50"].anchors.ltrb,
    )
)(build_retinanet)
register_model(
    ModelRow(
        name="retinanet_resnet50_v2",
        family="retinanet",
        backbone="resnet50",
        input_size=(800, 800),
        default_classes=COCO_CLASSES,
        recipe="retinanet_resnet50_v2/finetune",
        weights="retinanet_resnet50_v2",
        backbone_weights="resnet50",
        summary="torchvision's second RetinaNet, which reads its published COCO weights",
        source="Lin et al. 2017; torchvision retinanet_resnet50_fpn_v2",
        options=("trainable_layers", "input_size"),
        mlperf=RETINANET_BENCHMARK,
        anchors=CONFIGS["retinanet_resnet50_v2"].anchors.ltrb,
    )
)(build_retinanet)
