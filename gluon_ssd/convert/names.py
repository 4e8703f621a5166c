"""Tables of names: which tensors of a PyTorch reference make up which parameter of a network here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from ..data.coco_names import COCO_CLASSES, COCO_IDS
from ..model_zoo.specs import RESNETS

Arrays = Sequence[np.ndarray]


def _same(arrays: Arrays) -> np.ndarray:
    return arrays[0]


def _alone(array: np.ndarray) -> list[np.ndarray]:
    return [array]


@dataclass(frozen=True)
class Entry:
    """One parameter: its Gluon name, the reference's tensors, and the way between them.

    ``adapt`` brings a file's tensors to the shapes that ``join`` takes, where files of several shapes fit.
    """

    name: str
    sources: tuple[str, ...]
    join: Callable[[Arrays], np.ndarray] = _same
    split: Callable[[np.ndarray], list[np.ndarray]] = _alone
    adapt: Callable[[list[np.ndarray]], list[np.ndarray]] = list


def conv_entries(conv: Any, source: str) -> Iterator[Entry]:
    yield Entry(conv.weight.name, (f"{source}.weight",))
    if conv.bias is not None:
        yield Entry(conv.bias.name, (f"{source}.bias",))


def norm_entries(norm: Any, source: str) -> Iterator[Entry]:
    leaves = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    for ours, theirs in leaves.items():
        yield Entry(getattr(norm, ours).name, (f"{source}.{theirs}",))


def resnet_entries(backbone: Any, stem: tuple[str, str], stages: Sequence[str]) -> Iterator[Entry]:
    """``stem``: names of the first convolution and norm; ``stages``: one prefix per stage."""
    yield from conv_entries(backbone.stem[0], stem[0])
    yield from norm_entries(backbone.stem[1], stem[1])
    for stage, prefix in zip(backbone.stages, stages):
        for number, block in enumerate(stage):
            source = f"{prefix}.{number}"
            for index, (conv, norm) in enumerate(block.convolutions, 1):
                yield from conv_entries(conv, f"{source}.conv{index}")
                yield from norm_entries(norm, f"{source}.bn{index}")
            if block.shortcut is not None:
                yield from conv_entries(block.shortcut[0], f"{source}.downsample.0")
                yield from norm_entries(block.shortcut[1], f"{source}.downsample.1")


def _swap(array: np.ndarray, outer: int) -> np.ndarray:
    """Channel ``i * inner + j`` becomes channel ``j * outer + i``."""
    rest = array.shape[1:]
    return array.reshape((outer, -1) + rest).swapaxes(0, 1).reshape((-1,) + rest)


def head_entries(predictor: Any, index: int, boxes: int, channels: int) -> Iterator[Entry]:
    """PyTorch's two heads, class- and coordinate-major, against the fused one, box-major."""

    def join(arrays: Arrays) -> np.ndarray:
        return np.concatenate([_swap(arrays[0], channels), _swap(arrays[1], 4)])

    def split(array: np.ndarray) -> list[np.ndarray]:
        middle = boxes * channels
        return [_swap(array[:middle], boxes), _swap(array[middle:], boxes)]

    for parameter, leaf in ((predictor.conv.weight, "weight"), (predictor.conv.bias, "bias")):
        yield Entry(parameter.name, (f"conf.{index}.{leaf}", f"loc.{index}.{leaf}"), join, split)


def _ssd_entries(net: Any, stem: tuple[str, str], stages: Sequence[str]) -> Iterator[Entry]:
    yield from resnet_entries(net.backbone, stem, stages)
    for index, extra in enumerate(net.extras):
        source = f"additional_blocks.{index}"
        with_norm = extra.conv1.bias is None
        yield from conv_entries(extra.conv1, f"{source}.0")
        yield from conv_entries(extra.conv2, f"{source}.3" if with_norm else f"{source}.2")
        if with_norm:
            yield from norm_entries(extra.norm1, f"{source}.1")
            yield from norm_entries(extra.norm2, f"{source}.4")
    for index, (predictor, boxes) in enumerate(zip(net.predictors, net.default_boxes.per_cell)):
        yield from head_entries(predictor, index, boxes, len(net.classes) + 1)


def mlperf_ssd_entries(net: Any) -> Iterator[Entry]:
    """SSD300 with ResNet-34 of MLPerf's training reference (v0.6 to v1.1)."""
    stages = ("model.layer1.4", "model.layer1.5", "model.layer2.0")
    return _ssd_entries(net, ("model.layer1.0", "model.layer1.1"), stages)


def dle_ssd_entries(net: Any) -> Iterator[Entry]:
    """SSD300 of NVIDIA DeepLearningExamples (v1.1), all depths."""
    body = "feature_extractor.feature_extractor"
    return _ssd_entries(net, (f"{body}.0", f"{body}.1"), [f"{body}.{index}" for index in (4, 5, 6)])


def _resnet_entries(backbone: Any, prefix: str = "") -> Iterator[Entry]:
    """A backbone under torchvision's names."""
    stages = [f"{prefix}layer{number}" for number in range(1, len(backbone.stages) + 1)]
    return resnet_entries(backbone, (f"{prefix}conv1", f"{prefix}bn1"), stages)


def retinanet_entries(net: Any, pyramid: str, convs: Sequence[str]) -> Iterator[Entry]:
    """RetinaNet; ``pyramid``: what follows a pyramid convolution's number; ``convs``: names in a head."""
    yield from _resnet_entries(net.backbone, "backbone.body.")
    for ours, theirs in ((net.pyramid.laterals, "inner"), (net.pyramid.outputs, "layer")):
        for index, conv in enumerate(ours):
            yield from conv_entries(conv, f"backbone.fpn.{theirs}_blocks.{index}{pyramid}")
    for name in ("p6", "p7"):
        yield from conv_entries(getattr(net.pyramid, name), f"backbone.fpn.extra_blocks.{name}")
    for head, kind, output in (
        (net.class_head, "classification", "cls_logits"),
        (net.box_head, "regression", "bbox_reg"),
    ):
        for conv, name in zip(list(head.convs)[::2], convs):
            yield from conv_entries(conv, f"head.{kind}_head.conv.{name}")
        entries = conv_entries(head.output, f"head.{kind}_head.{output}")
        yield from (_class_rows(net, entry) for entry in entries) if head is net.class_head else entries


def mlperf_retinanet_entries(net: Any) -> Iterator[Entry]:
    """RetinaNet of MLPerf's training reference (v2.0 on)."""
    return retinanet_entries(net, "", ("0", "2", "4", "6"))


def torchvision_retinanet_entries(net: Any) -> Iterator[Entry]:
    """torchvision's retinanet_resnet50_fpn, of version 0.13 and later."""
    return retinanet_entries(net, ".0", ("0.0", "1.0", "2.0", "3.0"))


# On COCO both references number their 91 channels by the raw category id, of which 80 are in use.
_COCO_CHANNELS = 91


def _class_rows(net: Any, entry: Entry) -> Entry:
    """Lets the class layer of a network for COCO's names exchange rows with one of 91 channels."""
    if len(net.classes) == _COCO_CHANNELS or not set(net.classes) <= set(COCO_IDS):
        return entry
    per_cell, ours = net.anchors.per_cell, len(net.classes)
    ids = [COCO_IDS[name] for name in net.classes]

    def pick(array: np.ndarray) -> np.ndarray:
        rest = array.shape[1:]
        return array.reshape((per_cell, _COCO_CHANNELS) + rest)[:, ids].reshape((-1,) + rest)

    def spread(array: np.ndarray) -> np.ndarray:
        rest = array.shape[1:]
        # Channels that stand for nothing never fire.
        full = np.full((per_cell, _COCO_CHANNELS) + rest, 0 if rest else -_NEVER, dtype=array.dtype)
        full[:, ids] = array.reshape((per_cell, ours) + rest)
        return full.reshape((-1,) + rest)

    if net.classes != COCO_CLASSES:
        return replace(entry, adapt=lambda arrays: [_if_rows(arrays[0], per_cell * _COCO_CHANNELS, pick)])
    return replace(
        entry,
        join=lambda arrays: pick(arrays[0]),
        split=lambda array: [spread(array)],
        adapt=lambda arrays: [_if_rows(arrays[0], per_cell * ours, spread)],
    )


_NEVER = 20


def _if_rows(array: np.ndarray, rows: int, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return change(array) if array.shape[0] == rows else array


def classifier_entries(net: Any) -> Iterator[Entry]:
    """torchvision's ResNet and ResNeXt classifiers."""
    yield from _resnet_entries(net.backbone)
    yield from conv_entries(net.output, "fc")


_TABLES: dict[str, Callable[[Any], Iterator[Entry]]] = {
    "ssd_resnet34": mlperf_ssd_entries,
    "ssd_resnet18": dle_ssd_entries,
    "ssd_resnet34_bn": dle_ssd_entries,
    "ssd_resnet50": dle_ssd_entries,
    "ssd_resnet101": dle_ssd_entries,
    "ssd_resnet152": dle_ssd_entries,
    "retinanet_resnext50_32x4d": mlperf_retinanet_entries,
    "retinanet_resnet50": torchvision_retinanet_entries,
    **dict.fromkeys(RESNETS, classifier_entries),
}


def torch_entries(net: Any) -> list[Entry]:
    """The table of a network. Raises KeyError for a network that has no PyTorch reference."""
    if net.options.get("backbone"):
        raise KeyError(net.options["backbone"])
    return list(_TABLES[net.model_name](net))


def torch_aliases(net: Any) -> dict[str, str]:
    """Other names the same tensors go by: alias to name in the table.

    torchvision renamed layers of RetinaNet in version 0.13; its published weights have the old names, which
    are also those of MLPerf's reference.
    """
    if net.model_name not in ("retinanet_resnext50_32x4d", "retinanet_resnet50"):
        return {}
    styles = [list(table(net)) for table in (mlperf_retinanet_entries, torchvision_retinanet_entries)]
    wanted = [source for entry in torch_entries(net) for source in entry.sources]
    names = [[source for entry in style for source in entry.sources] for style in styles]
    return {alias: name for style in names for alias, name in zip(style, wanted)}
