"""The tensors of PyTorch references that make up the parameters of a network here, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable

import numpy as np

from ..data.coco_names import COCO_CLASSES, COCO_IDS

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
    yield from affine_entries(norm, source)
    for name in ("running_mean", "running_var"):
        yield Entry(getattr(norm, name).name, (f"{source}.{name}",))


def affine_entries(norm: Any, source: str) -> Iterator[Entry]:
    """Yields the entries of a norm's scale and shift, which the reference calls ``source``."""
    for ours, theirs in (("gamma", "weight"), ("beta", "bias")):
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


def layer_entries(layers: Sequence[Any], conv: str, norm: str) -> Iterator[Entry]:
    """A convolution and its norm, in this order in ``layers``."""
    yield from conv_entries(layers[0], conv)
    yield from norm_entries(layers[1], norm)


# torchvision's SSDs number channels by COCO's raw category ids, of which 80 are in use; 0 is background.
_COCO_CHANNELS = 91
# A bias that no class with channels of its own loses against.
_NEVER = 20


def class_entry(name: str, sources: tuple[str, ...], boxes: int, classes: Sequence[str]) -> Entry:
    """The entry of a prediction layer with torchvision's rows: class scores, box by box, background first.

    ``sources``: torchvision's layer of classes and, where ``name`` holds the deltas after them, that of
    deltas. Of COCO's names the rows are picked from its 91; with all 80 of them they are written as 91 again.
    """
    channels = len(classes) + 1
    ids = [0, *(COCO_IDS.get(name, 0) for name in classes)]

    def split(array: np.ndarray) -> list[np.ndarray]:
        return np.split(array, [boxes * channels])[: len(sources)]

    def pick(arrays: list[np.ndarray]) -> list[np.ndarray]:
        logits, *deltas = arrays
        if logits.shape[0] != boxes * _COCO_CHANNELS:
            return arrays
        rest = logits.shape[1:]
        return [logits.reshape((boxes, -1) + rest)[:, ids].reshape((-1,) + rest), *deltas]

    def spread(arrays: list[np.ndarray]) -> list[np.ndarray]:
        logits, *deltas = arrays
        if logits.shape[0] != boxes * channels:
            return arrays
        rest = logits.shape[1:]
        full = np.full((boxes, _COCO_CHANNELS) + rest, 0 if rest else -_NEVER, dtype=logits.dtype)
        full[:, ids] = logits.reshape((boxes, channels) + rest)
        return [full.reshape((-1,) + rest), *deltas]

    entry = Entry(name, sources, np.concatenate, split)
    if channels == _COCO_CHANNELS or not set(classes) <= set(COCO_IDS):
        return entry
    if tuple(classes) != COCO_CLASSES:
        return replace(entry, adapt=pick)
    return replace(
        entry,
        join=lambda arrays: np.concatenate(pick(list(arrays))),
        split=lambda array: spread(split(array)),
        adapt=spread,
    )
