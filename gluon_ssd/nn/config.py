"""How layers are built: what a whole network has in common, so that no constructor has to pass it on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..ops import StockOps, select


@dataclass(frozen=True)
class LayerConfig:
    """Layout, precision and device of the layers that are built.

    ``layout``: of data and weights. ``dtype``: of data and parameters, ``float32`` or ``float16``; norms keep
    float32 unless ``norm_fp16``. ``group``: ranks that share the statistics of their norms, None for every
    rank its own; see `GroupBatchNorm`.
    """

    layout: str = "NCHW"
    dtype: str = "float32"
    device: str = "cpu"
    norm_fp16: bool = False
    group: Any = None

    @property
    def ops(self) -> StockOps:
        """The operators for this device."""
        return select(self.device)

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in data."""
        return 1 if self.layout == "NCHW" else 3

    @property
    def precision(self) -> str | None:
        """The 16-bit type that layers compute in; None is the type of the data."""
        return None if self.dtype == "float32" else self.dtype


class _Local(threading.local):
    config = LayerConfig()


_LOCAL = _Local()


def current() -> LayerConfig:
    """The configuration of layers built now, in this thread."""
    return _LOCAL.config


@contextmanager
def using(config: LayerConfig) -> Iterator[None]:
    """Layers built inside the ``with`` block follow ``config``."""
    before, _LOCAL.config = _LOCAL.config, config
    try:
        yield
    finally:
        _LOCAL.config = before
