"""The tensors of PyTorch references that make up the parameters of a network here, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable

import numpy as np

Arrays = Sequence[np.ndarray]


def _same(arrays: Arrays) -> np.ndarray:
    return arrays[0]


def _alone(array: np.ndarray) -> list[np.ndarray]:
    return [array]


@dataclass(frozen=True)
class Entry:
    """One parameter: its Gluon name, the tensors of the reference, and the functions between them.

    ``join`` makes the parameter of the tensors named in ``sources``, and ``split`` makes the tensors of the
    parameter, both in OIHW. ``adapt`` brings the tensors of a file to the shapes that ``join`` takes, where
    files of several shapes fit.
    """

    name: str
    sources: tuple[str, ...]
    join: Callable[[Arrays], np.ndarray] = _same
    split: Callable[[np.ndarray], list[np.ndarray]] = _alone
    adapt: Callable[[list[np.ndarray]], list[np.ndarray]] = list


def conv_entries(conv: Any, source: str) -> Iterator[Entry]:
    """Yields the entries of a convolution or a dense layer, which the reference calls ``source``."""
    yield Entry(conv.weight.name, (f"{source}.weight",))
    if conv.bias is not None:
        yield Entry(conv.bias.name, (f"{source}.bias",))


def norm_entries(norm: Any, source: str) -> Iterator[Entry]:
    """Yields the entries of a batch norm, which the reference calls ``source``."""
    leaves = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    for ours, theirs in leaves.items():
        yield Entry(getattr(norm, ours).name, (f"{source}.{theirs}",))


def resnet_entries(backbone: Any, stem: tuple[str, str], stages: Sequence[str]) -> Iterator[Entry]:
    """Yields the entries of a `ResNet`, whose blocks the reference names as torchvision does.

    ``stem`` are the names of the first convolution and norm, and ``stages`` has one prefix per stage.
    """
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


def under(prefix: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yields the ``entries`` of a part of a network, with ``prefix`` before the names of the reference."""
    for entry in entries:
        yield replace(entry, sources=tuple(prefix + source for source in entry.sources))
