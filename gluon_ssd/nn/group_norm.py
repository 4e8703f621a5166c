"""Batch norm whose statistics are computed over several ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import mxnet as mx
from mxnet import nd

from ..ops import activate
from .config import current
from .layers import BatchNorm


class RankGroup(Protocol):
    """The ranks that share the statistics of a norm."""

    @property
    def size(self) -> int:
        """Returns the number of ranks in the group."""
        ...

    def allreduce(self, array: nd.NDArray, name: str) -> nd.NDArray:
        """Returns the sum of the float32 arrays that all ranks pass under ``name``.

        The sum has the shape and the device of ``array``. MXNet's threads call this, several at a time and
        not in the same order on every rank; the name tells which arrays belong together.
        """
        ...


# MXNet passes an operator's attributes as text, so an operator names its group by the place in this list.
_GROUPS: list[RankGroup] = []


class GroupBatchNorm(BatchNorm):
    """Batch norm over the batches of all ranks of a group, as if they were one batch.

    Mean and variance are those of the joined batch, and gradients flow through them to every rank. The
    gradients of gamma and beta stay the rank's own; the trainer averages them like all others. Inference,
    names and parameters are those of `BatchNorm`. A network that is to be exported has to be built without a
    group. Source: Zhang et al., "Context Encoding for Semantic Segmentation" (2018), section 3.1
    (synchronised batch norm).
    """

    def __init__(self, channels: int, act: str | None = None, *, group: RankGroup, **kwargs: Any) -> None:
        super().__init__(channels, act, **kwargs)
        self._native = self._ops.group_attributes(group, self._layout)
        self._group = len(_GROUPS)
        _GROUPS.append(group)

    def _uses_native(self) -> bool:
        """Tells whether NVIDIA's operator exchanges the statistics; it does so for float16 only."""
        return self._native is not None and self.compute_dtype == "float16"

    def _attributes(self) -> dict[str, Any]:
        native = self._native if self._uses_native() else None
        return {**super()._attributes(), **(native or {})}

    def _norm(self, F: Any, x: Any, residual: Any, params: dict[str, Any]) -> Any:
        if self._uses_native():
            return super()._norm(F, x, residual, params)
        half = self.compute_dtype is not None
        # The statistics of 16-bit maps are computed and exchanged in float32.
        x = F.Custom(
            F.amp_cast(x, dtype="float32"),
            params["gamma"],
            params["beta"],
            params["running_mean"],
            params["running_var"],
            op_type="gluon_ssd_group_norm",
            group=self._group,
            layer=self.gamma.name,
            eps=self._kwargs["eps"],
            momentum=self._kwargs["momentum"],
            axis=self._kwargs["axis"],
        )[0]
        if residual is not None:
            x = x + F.amp_cast(residual, dtype="float32")
        x = activate(F, x, self._act)
        # A network in bfloat16 goes on in float32: its next convolution casts its own input.
        return F.amp_cast(x, dtype="float16") if half and self.compute_dtype == "float16" else x


def norm(channels: int, act: str | None = None, **kwargs: Any) -> BatchNorm:
    """Returns the trained norm of the current configuration, called as ``norm(x)`` or ``norm(x, residual)``.

    The norm is a `GroupBatchNorm` where the configuration has a group of several ranks.
    """
    group = current().group
    if group is None or group.size == 1:
        return BatchNorm(channels, act, **kwargs)
    return GroupBatchNorm(channels, act, group=group, **kwargs)


class _GroupNorm(mx.operator.CustomOp):
    """The operator: data, gamma and beta to the result, and the mean and 1 / deviation that it was made with.

    The last two are outputs only because the backward pass needs them.
    """

    def __init__(self, group: RankGroup, layer: str, eps: float, momentum: float, axis: int) -> None:
        super().__init__()
        self._group, self._layer = group, layer
        self._eps, self._momentum, self._axis = eps, momentum, axis

    def _total(self, array: nd.NDArray, what: str) -> nd.NDArray:
        return self._group.allreduce(array, f"{self._layer}.{what}")

    def _spread(self, vector: nd.NDArray, like: nd.NDArray) -> nd.NDArray:
        """Returns a vector (C,) as a view that broadcasts over the data."""
        return vector.reshape([-1 if axis == self._axis else 1 for axis in range(like.ndim)])

    def _sum(self, x: nd.NDArray) -> nd.NDArray:
        return x.sum(axis=self._axis, exclude=True)

    def forward(
        self,
        is_train: bool,
        req: Sequence[str],
        in_data: Sequence[nd.NDArray],
        out_data: Sequence[nd.NDArray],
        aux: Sequence[nd.NDArray],
    ) -> None:
        x, gamma, beta = in_data
        mean, variance = self._statistics(x, aux) if is_train else aux
        scale = (variance + self._eps) ** -0.5
        y = (x - self._spread(mean, x)) * self._spread(scale * gamma, x) + self._spread(beta, x)
        for place, value in enumerate((y, mean, scale)):
            self.assign(out_data[place], req[place], value)

    def _statistics(self, x: nd.NDArray, aux: Sequence[nd.NDArray]) -> tuple[nd.NDArray, nd.NDArray]:
        """Returns the mean and variance (C,) of all ranks' data, and updates the running ones."""
        # The count travels with the sums, since ranks may have batches of different sizes. Two exchanges are
        # needed: a variance from sums and sums of squares would lose its digits where the mean is large.
        count = nd.array([x.size / x.shape[self._axis]], ctx=x.context)
        sums = self._total(nd.concat(self._sum(x), count, dim=0), "mean")
        total = sums[-1:]
        mean = sums[:-1] / total
        variance = self._total(self._sum((x - self._spread(mean, x)) ** 2), "variance") / total
        for running, value in zip(aux, (mean, variance)):
            running[:] = self._momentum * running + (1 - self._momentum) * value
        return mean, variance

    def backward(
        self,
        req: Sequence[str],
        out_grad: Sequence[nd.NDArray],
        in_data: Sequence[nd.NDArray],
        out_data: Sequence[nd.NDArray],
        in_grad: Sequence[nd.NDArray],
        aux: Sequence[nd.NDArray],
    ) -> None:
        (x, gamma, _), (_, mean, scale), dy = in_data, out_data, out_grad[0]
        # Ioffe and Szegedy, "Batch Normalization" (2015), section 3, with all means over the joined batch:
        # dx = gamma * scale * (dy - mean(dy) - normal * mean(dy * normal)).
        normal = (x - self._spread(mean, x)) * self._spread(scale, x)
        beta_grad, gamma_grad = self._sum(dy), self._sum(dy * normal)
        count = nd.array([x.size / x.shape[self._axis]], ctx=x.context)
        sums = self._total(nd.concat(beta_grad, gamma_grad, count, dim=0), "gradient")
        channels = x.shape[self._axis]
        shift, slope = sums[:channels] / sums[-1:], sums[channels:-1] / sums[-1:]
        dx = dy - self._spread(shift, x) - normal * self._spread(slope, x)
        dx = dx * self._spread(scale * gamma, x)
        for place, value in enumerate((dx, gamma_grad, beta_grad)):
            self.assign(in_grad[place], req[place], value)


@mx.operator.register("gluon_ssd_group_norm")
class _GroupNormProp(mx.operator.CustomOpProp):
    """Tells MXNet the names, shapes and constructor of the operator."""

    def __init__(self, group: str, layer: str, eps: str, momentum: str, axis: str) -> None:
        super().__init__(need_top_grad=True)
        self._arguments = (_GROUPS[int(group)], layer, float(eps), float(momentum), int(axis))

    def list_arguments(self) -> list[str]:
        return ["data", "gamma", "beta"]

    def list_outputs(self) -> list[str]:
        return ["output", "mean", "scale"]

    def list_auxiliary_states(self) -> list[str]:
        return ["running_mean", "running_var"]

    def infer_shape(self, in_shape: list[list[int]]) -> tuple[list[Any], list[Any], list[Any]]:
        channels = [in_shape[0][self._arguments[-1]]]
        return [in_shape[0], channels, channels], [in_shape[0], channels, channels], [channels, channels]

    def create_operator(self, ctx: Any, shapes: Any, dtypes: Any) -> _GroupNorm:
        return _GroupNorm(*self._arguments)
