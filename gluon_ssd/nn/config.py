"""The settings that all layers of a network share, so that no constructor has to pass them on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..ops import StockOps, select


@dataclass(frozen=True)
class LayerConfig:
    """The layout, precision and device of the layers that are built.

    ``layout`` is that of data and weights, ``NCHW`` or ``NHWC``. ``dtype`` is the type of data and
    parameters, ``float32`` or ``float16``; the parameters of norms stay float32, but with ``norm_fp16`` their
    gamma and beta are float16. ``device`` is ``cpu`` or ``gpu``. ``group`` holds the ranks that share the
    statistics of their norms, see `GroupBatchNorm`; None means that every rank has its own.
    """

    layout: str = "NCHW"
    dtype: str = "float32"
    device: str = "cpu"
    norm_fp16: bool = False
    group: Any = None

    @property
    def ops(self) -> StockOps:
        """Returns the operators for this device."""
        return select(self.device)

    @property
    def channel_axis(self) -> int:
        """Returns the axis of the channels in data."""
        return 1 if self.layout == "NCHW" else 3

    @property
    def precision(self) -> str | None:
        """Returns the 16-bit type that layers compute in, or None for the type of the data."""
        return None if self.dtype == "float32" else self.dtype


class _Local(threading.local):
    # An attribute of the class, so that every thread starts with the defaults.
    config = LayerConfig()


_LOCAL = _Local()


def current() -> LayerConfig:
    """Returns the configuration of the layers that this thread builds now."""
    return _LOCAL.config


@contextmanager
def using(config: LayerConfig) -> Iterator[None]:
    """Makes the layers that this thread builds inside the ``with`` block follow ``config``."""
    before, _LOCAL.config = _LOCAL.config, config
    try:
        yield
    finally:
        _LOCAL.config = before
