"""Convolution, norm and activation as the models use them.

Under mixed precision convolutions compute in 16 bits and hand 16-bit maps on; parameters, norm statistics
and the loss stay in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mxnet import init
from mxnet.gluon import Block, nn

# NumPy has no bfloat16; this is how MXNet spells it.
LOW_PRECISION = {"bfloat16": np.dtype([("bfloat16", np.uint16)]), "float16": np.dtype(np.float16)}

# He initialisation by fan-out, torchvision's for every convolution of a residual network.
BACKBONE_INIT = init.MSRAPrelu("out", slope=0)


class Conv2D(nn.Conv2D):
    """Convolution, NCHW, of known input channels, so that nothing is initialised late.

    ``compute_dtype`` is None (the data's type) or the 16-bit type of mixed precision. ``channel_multiple``
    pads the output channels with zero weights to a multiple at run time, for speed; the caller slices them
    off.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        strides: int = 1,
        padding: int = 0,
        *,
        in_channels: int,
        use_bias: bool = False,
        weight_initializer: Any = BACKBONE_INIT,
        bias_initializer: Any = "zeros",
        channel_multiple: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            channels,
            kernel_size,
            strides,
            padding,
            in_channels=in_channels,
            use_bias=use_bias,
            weight_initializer=weight_initializer,
            bias_initializer=bias_initializer,
            **kwargs,
        )
        self.compute_dtype: str | None = None
        self._missing_channels = -channels % channel_multiple
        self._kwargs["num_filter"] += self._missing_channels

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        arrays = [weight] if bias is None else [weight, bias]
        if self._missing_channels:
            arrays = [self._pad(F, array) for array in arrays]
        arrays = [x] + arrays
        if self.compute_dtype is not None:
            arrays = [F.amp_cast(array, dtype=LOW_PRECISION[self.compute_dtype]) for array in arrays]
        return F.Convolution(*arrays, name="fwd", **self._kwargs)

    def _pad(self, F: Any, array: Any) -> Any:
        missing = self._missing_channels
        return F.concat(array, F.zeros_like(F.slice_axis(array, axis=0, begin=0, end=missing)), dim=0)


class BatchNorm(nn.BatchNorm):
    """Batch norm, then the residual if one is given, then ``act``, in one call: ``norm(x, residual)``.

    Defaults are the references': epsilon 1e-5, momentum 0.9 (the share of the old running value).
    """

    def __init__(
        self, channels: int, act: str | None = None, *, epsilon: float = 1e-5, **kwargs: Any
    ) -> None:
        super().__init__(in_channels=channels, momentum=0.9, epsilon=epsilon, **kwargs)
        self._act = act

    def hybrid_forward(self, F: Any, x: Any, residual: Any = None, **params: Any) -> Any:
        x = super().hybrid_forward(F, x, **params)
        if residual is not None:
            x = x + residual
        return x if self._act is None else F.Activation(x, act_type=self._act)


class FrozenBatchNorm(BatchNorm):
    """Batch norm whose four arrays are constants: no gradient, no update, the same in training.

    Source: He et al., "Deep Residual Learning" (2016), appendix A; ``epsilon`` may be 0.
    """

    def __init__(self, channels: int, act: str | None = None, **kwargs: Any) -> None:
        super().__init__(channels, act, use_global_stats=True, **kwargs)
        self.epsilon = self._kwargs["eps"]
        for parameter in (self.gamma, self.beta):
            parameter.grad_req = "null"

    @property
    def epsilon(self) -> float:
        """What is added to the variance."""
        return self._kwargs["eps"]

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        # cuDNN refuses smaller ones than 1e-5.
        self._kwargs.update(eps=value, cudnn_off=value < 1e-5)

    def _alias(self) -> str:
        # Names of parameters do not tell frozen from trained: both read the same files.
        return "batchnorm"


class Activation(nn.Activation):
    """ReLU unless told otherwise."""

    def __init__(self, activation: str = "relu", **kwargs: Any) -> None:
        super().__init__(activation, **kwargs)


def compute_precision(net: Block, dtype: str | None) -> None:
    """Sets the type every convolution of ``net`` computes in; None is the type of the data.

    Parameters keep theirs. Graphs that were cached before are dropped.
    """

    def visit(block: Block) -> None:
        if isinstance(block, Conv2D):
            block.compute_dtype = dtype

    net.apply(visit)
    net.hybridize(getattr(net, "_active", False), **dict(getattr(net, "_flags", ())))
