"""Tables of names: which tensors of a PyTorch reference make up which parameter of a network here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterator, Sequence

import numpy as np

Arrays = Sequence[np.ndarray]


def _same(arrays: Arrays) -> np.ndarray:
    return arrays[0]


def _alone(array: np.ndarray) -> list[np.ndarray]:
    return [array]


@dataclass(frozen=True)
class Entry:
    """One parameter: its Gluon name, the reference's tensors, and the way between them."""

    name: str
    sources: tuple[str, ...]
    join: Callable[[Arrays], np.ndarray] = _same
    split: Callable[[np.ndarray], list[np.ndarray]] = _alone


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


_TABLES: dict[str, Callable[[Any], Iterator[Entry]]] = {
    "ssd_resnet34": mlperf_ssd_entries,
    "ssd_resnet18": dle_ssd_entries,
    "ssd_resnet34_bn": dle_ssd_entries,
    "ssd_resnet50": dle_ssd_entries,
    "ssd_resnet101": dle_ssd_entries,
    "ssd_resnet152": dle_ssd_entries,
}


def torch_entries(net: Any) -> list[Entry]:
    """The table of a network. Raises KeyError for a network that has no PyTorch reference."""
    return list(_TABLES[net.model_name](net))
