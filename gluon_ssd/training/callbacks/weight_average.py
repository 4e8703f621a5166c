"""An exponential moving average of a network's weights, which is often better than the last of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import mxnet as mx
import numpy as np

from .base import Callback, TrainBatch


def running_statistics(net: Any) -> dict[str, Any]:
    """Returns the parameters of ``net`` that are running means and variances of its norms, by name."""
    parameters = net.collect_params().items()
    return {name: value for name, value in parameters if name.endswith(("running_mean", "running_var"))}


class WeightAverage(Callback):
    """A float32 average of all that changes in ``net`` over the steps of a training.

    That is every parameter that is trained, and the running statistics of norms: statistics of the last
    weights alone do not belong to an average of many. timm and torchvision's references average them too.

    With each step the average keeps ``decay`` of itself and takes the rest from the network. It keeps less
    at the beginning, (1 + step) / (10 + step), so that the first weights are soon forgotten. ``start``: the
    averages of a run that goes on, by parameter name; None begins with the weights that ``net`` has.
    Ranks that train together have the same weights, and so the same averages of them, but statistics of their
    own. Source: TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.
    """

    def __init__(self, net: Any, decay: float, start: Mapping[str, np.ndarray] | None = None) -> None:
        self.decay = decay
        parameters, self._statistics = net.collect_params().items(), running_statistics(net)
        self._parameters = {
            name: value
            for name, value in parameters
            if value.grad_req != "null" or name in self._statistics
        }
        self._averages = {}
        for name, parameter in self._parameters.items():
            self._averages[name] = parameter.data().astype("float32")
            if start is not None and name in start:
                self._averages[name][:] = mx.nd.array(start[name])

    def batch_ended(self, batch: TrainBatch, values: Mapping[str, float]) -> None:
        if batch.updates:
            self.update(batch.step)

    def update(self, step: int) -> None:
        """Takes in the weights after optimizer step ``step``, which counts from 1."""
        if self._statistics:
            # MXNet does not order what reads running statistics behind the static graph that writes them, as
            # it does for weights, so that statistics of earlier steps would be read.
            mx.nd.waitall()
        taken = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, average in self._averages.items():
            average += taken * (self._parameters[name].data().astype("float32") - average)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Has the network compute with the averages inside this block, and with its own weights after it."""
        own = {name: parameter.data().copy() for name, parameter in self._parameters.items()}
        self._put(self._averages)
        try:
            yield
        finally:
            self._put(own)

    def statistics(self) -> list[mx.nd.NDArray]:
        """Returns the averages of running statistics themselves, not copies."""
        return [self._averages[name] for name in self._statistics]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the averages by parameter name, float32."""
        return {name: average.asnumpy() for name, average in self._averages.items()}

    def _put(self, values: Mapping[str, mx.nd.NDArray]) -> None:
        for name, parameter in self._parameters.items():
            parameter.set_data(values[name].astype(parameter.dtype))
