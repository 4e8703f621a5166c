"""Names of PyTorch references: which of their tensors make up which parameter of a network here."""

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


def under(prefix: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """``entries`` of a part, whose tensors go by names with ``prefix`` in the whole."""
    for entry in entries:
        yield replace(entry, sources=tuple(prefix + source for source in entry.sources))
