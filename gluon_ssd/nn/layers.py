"""Convolution, norm, activation, pooling and dense layer as the models use them.

Layers take their layout, precision and operators from the configuration in which they are built
(`nn.config`). Under mixed precision convolutions compute in 16 bits and pass 16-bit maps on; parameters, norm
statistics and the loss stay in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mxnet import init
from mxnet.gluon import Block, HybridBlock, nn

from ..ops import activate
from .config import current
from .initializers import InLayout

# He initialisation by fan-out, torchvision's for every convolution of a residual network.
BACKBONE_INIT = init.MSRAPrelu("out", slope=0)
# Tensor cores need the channels of an NHWC image to be a multiple of four, and so do oneDNN's kernels for
# bfloat16: with three it is slow, and passes a map on in plain layout, which slows the layers after it too.
_INPUT_MULTIPLE = 4
# The attributes that the operators take in every build of MXNet. The Gluon of another build may keep more
# than these in a layer's `_kwargs`.
_CONVOLUTION_ATTRIBUTES = ("kernel", "stride", "dilate", "pad", "num_filter", "num_group", "no_bias")
_NORM_ATTRIBUTES = ("axis", "eps", "momentum", "fix_gamma", "use_global_stats")


class Conv2D(nn.Conv2D):
    """Convolution whose number of input channels is known, so that nothing is initialised late.

    ``compute_dtype`` is the 16-bit type to compute in, or None for the type of the data. With
    ``pad_channels`` the output has additional channels of zero weights, up to a multiple that is fast; the
    caller slices them off. In bfloat16, and for NHWC in float16, the input channels are padded too, to a
    multiple of 4. The parameters have neither padding. With ``tensor_cores`` NVIDIA's build insists on tensor
    cores in float16, as its ResNet does.

    ``late_start`` moves every window a pixel to the right and down: with a stride of 2 and half the kernel
    as padding that is TensorFlow's SAME on an input of even sides.
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
        pad_channels: bool = False,
        tensor_cores: bool = False,
        late_start: bool = False,
        **kwargs: Any,
    ) -> None:
        config = current()
        super().__init__(
            channels,
            kernel_size,
            strides,
            padding,
            in_channels=in_channels,
            use_bias=use_bias,
            weight_initializer=InLayout.of(weight_initializer, config.layout),
            bias_initializer=bias_initializer,
            layout=config.layout,
            **kwargs,
        )
        self._ops, self._layout, self._channel_axis = config.ops, config.layout, config.channel_axis
        # `compute_precision` changes the first of these, and takes the second to undo that.
        self.compute_dtype = self._own_dtype = config.precision
        self._missing_channels = -channels % self._ops.channel_multiple if pad_channels else 0
        self._tensor_cores, self._late_start = tensor_cores, late_start

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        if self._missing_channels:
            weight = _pad(F, weight, 0, self._missing_channels)
            bias = None if bias is None else _pad(F, bias, 0, self._missing_channels)
        missing = self._missing_inputs()
        if missing:
            x, weight = (_pad(F, array, self._channel_axis, missing) for array in (x, weight))
        arrays = [x, weight] if bias is None else [x, weight, bias]
        attrs = {name: self._kwargs[name] for name in _CONVOLUTION_ATTRIBUTES}
        attrs["num_filter"] += self._missing_channels
        if self._late_start:
            # MXNet pads both sides alike. Zeros in front of the kernel cost less than a padded map.
            for axis in (1, 2) if self._layout == "NHWC" else (2, 3):
                weight = _zero_in_front(F, weight, axis)
            arrays[1] = weight
            attrs["kernel"] = tuple(side + 1 for side in attrs["kernel"])
        return self._ops.convolution(
            F,
            arrays,
            layout=self._layout,
            precision=self.compute_dtype,
            tensor_cores=self._tensor_cores,
            attrs=attrs,
        )

    def _missing_inputs(self) -> int:
        """Returns the number of zero channels that the input needs to be computed fast."""
        missing = -self._in_channels % _INPUT_MULTIPLE
        fills = self._kwargs["num_group"] == 1 and missing <= self._in_channels
        gains = self.compute_dtype == "bfloat16" or (self._layout, self.compute_dtype) == ("NHWC", "float16")
        return missing if fills and gains else 0


def _pad(F: Any, array: Any, axis: int, missing: int) -> Any:
    """Returns ``array`` with ``missing`` zeros more along ``axis``, at most as many as its length there."""
    # Zeros of a slice have the right shape without the graph having to know the other sides.
    return F.concat(array, F.zeros_like(F.slice_axis(array, axis=axis, begin=0, end=missing)), dim=axis)


def _zero_in_front(F: Any, array: Any, axis: int) -> Any:
    first = F.slice_axis(array, axis=axis, begin=0, end=1)
    return F.concat(F.zeros_like(first), array, dim=axis)


class BatchNorm(nn.BatchNorm):
    """Batch norm, then the residual if there is one, then ``act``, in one call: ``norm(x, residual)``.

    The defaults are those of the references: epsilon 1e-5 and momentum 0.9, which is the share of the old
    running value. All four arrays are float32 whatever the type of the network is; gamma and beta are float16
    where the configuration says so. ``clips_by_convolution``: see `clip_by_convolution`.
    """

    clips_by_convolution = False

    def __init__(
        self, channels: int, act: str | None = None, *, epsilon: float = 1e-5, **kwargs: Any
    ) -> None:
        config = current()
        super().__init__(config.channel_axis, in_channels=channels, momentum=0.9, epsilon=epsilon, **kwargs)
        self._act = act
        self._ops, self._layout, self._half = config.ops, config.layout, config.norm_fp16
        self.compute_dtype = self._own_dtype = config.precision

    def _alias(self) -> str:
        # All kinds of norm name their parameters alike, so that a file fits whichever kind a network has.
        return "batchnorm"

    def cast(self, dtype: Any) -> None:
        # Gluon's batch norm keeps its arrays in float32 when a network becomes float16.
        super().cast(dtype)
        if self._half and np.dtype(dtype) == np.float16:
            self.gamma.cast(dtype)
            self.beta.cast(dtype)

    def hybrid_forward(self, F: Any, x: Any, residual: Any = None, **params: Any) -> Any:
        if self._half:
            # The operators want parameters of float32, whatever type they are stored in.
            for name in ("gamma", "beta"):
                params[name] = F.amp_cast(params[name], dtype="float32")
        return self._norm(F, x, residual, params)

    def _norm(self, F: Any, x: Any, residual: Any, params: dict[str, Any]) -> Any:
        x = self._ops.norm(
            F,
            x,
            params,
            act="relu" if self._mirrors else self._act,
            add=residual,
            layout=self._layout,
            precision=self.compute_dtype,
            attrs=self._attributes(),
        )
        return _at_most_6(F, x, self.gamma.shape[0]) if self._mirrors else x

    @property
    def _mirrors(self) -> bool:
        return self.clips_by_convolution and self._act == "relu6"

    def _attributes(self) -> dict[str, Any]:
        """Returns the attributes of MXNet's operator."""
        return {name: self._kwargs[name] for name in _NORM_ATTRIBUTES}


class FrozenBatchNorm(BatchNorm):
    """Batch norm whose four arrays are constants.

    They get no gradient and no update, and training and inference compute the same. ``epsilon`` may be 0.
    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), appendix A.
    """

    def __init__(self, channels: int, act: str | None = None, **kwargs: Any) -> None:
        super().__init__(channels, act, use_global_stats=True, **kwargs)
        for parameter in (self.gamma, self.beta):
            parameter.grad_req = "null"

    @property
    def epsilon(self) -> float:
        """Returns the number that is added to the variance."""
        return self._kwargs["eps"]

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        self._kwargs["eps"] = value

    def _norm(self, F: Any, x: Any, residual: Any, params: dict[str, Any]) -> Any:
        if not self._mirrors or residual is not None:
            return super()._norm(F, x, residual, params)
        # oneDNN's norm takes ten times as long backward where the convolution before it has 40 channels.
        scale = params["gamma"] * F.rsqrt(params["running_var"] + self.epsilon)
        shift, channels = params["beta"] - params["running_mean"] * scale, self.gamma.shape[0]
        x = F.Activation(_each_channel(F, x, scale, shift, channels), act_type="relu")
        return _at_most_6(F, x, channels)

    def _attributes(self) -> dict[str, Any]:
        # cuDNN refuses an epsilon below 1e-5; MXNet's own kernel takes any.
        return {**super()._attributes(), "cudnn_off": self.epsilon < 1e-5}


class GroupNorm(HybridBlock):
    """Group norm, then ``act``: every image's channels are normalised in ``groups`` of neighbours.

    It computes and returns float32, and its two arrays, one number for each channel, are float32 whatever the
    type of the network is. Training and inference compute the same. Raises ValueError where the channels make
    no whole groups. Source: Wu and He, "Group Normalization" (2018). ``clips_by_convolution``: see
    `clip_by_convolution`.
    """

    clips_by_convolution = False

    def __init__(
        self, channels: int, act: str | None = None, *, groups: int = 32, epsilon: float = 1e-5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if channels % groups:
            raise ValueError(f"{channels} channels cannot be normalised in {groups} groups")
        self._channels, self._groups, self._epsilon, self._act = channels, groups, epsilon, act
        self._layout = current().layout
        with self.name_scope():
            self.gamma = self.params.get("gamma", shape=(channels,), init="ones")
            self.beta = self.params.get("beta", shape=(channels,), init="zeros")

    def cast(self, dtype: Any) -> None:
        super().cast("float32")

    def hybrid_forward(self, F: Any, x: Any, gamma: Any, beta: Any) -> Any:
        x = F.amp_cast(x, dtype="float32")
        # MXNet's operator knows NCHW only.
        x = x if self._layout == "NCHW" else F.transpose(x, (0, 3, 1, 2))
        # In MXNet 1.9.1 the operator's own scale and shift have one number for each group.
        one = F.ones_like(F.slice_axis(gamma, axis=0, begin=0, end=self._groups))
        x = F.GroupNorm(x, one, F.zeros_like(one), num_groups=self._groups, eps=self._epsilon)
        if self.clips_by_convolution:
            x = _each_channel(F, x, gamma, beta, self._channels)
        else:
            gamma, beta = (F.reshape(array, (1, -1, 1, 1)) for array in (gamma, beta))
            x = F.broadcast_add(F.broadcast_mul(x, gamma), beta)
        x = activate(F, x, self._act)
        return x if self._layout == "NCHW" else F.transpose(x, (0, 2, 3, 1))


class Activation(nn.Activation):
    """An activation, ReLU unless another is named."""

    def __init__(self, activation: str = "relu", **kwargs: Any) -> None:
        super().__init__(activation, **kwargs)


class MaxPool2D(nn.MaxPool2D):
    """Maximum over windows of ``pool_size`` pixels, in the layout of the configuration."""

    def __init__(self, pool_size: int, strides: int, padding: int, **kwargs: Any) -> None:
        super().__init__(pool_size, strides, padding, layout=current().layout, **kwargs)


class GlobalAvgPool2D(nn.GlobalAvgPool2D):
    """Mean over the whole map, computed and returned in float32."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(layout=current().layout, **kwargs)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return super().hybrid_forward(F, F.amp_cast(x, dtype="float32"))


class Dense(nn.Dense):
    """Dense layer that computes and returns float32, also where its parameters are float16."""

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        arrays = [F.amp_cast(array, dtype="float32") for array in (x, weight, bias)]
        return super().hybrid_forward(F, *arrays)


def _at_most_6(F: Any, x: Any, channels: int) -> Any:
    """min(x, 6) of an NCHW map without negative values, as 6 - relu(6 - x)."""

    def mirror(x: Any) -> Any:
        return _each_channel(F, x, -F.ones((channels,)), 6 * F.ones((channels,)), channels)

    return mirror(F.Activation(mirror(x), act_type="relu"))


def _each_channel(F: Any, x: Any, scale: Any, shift: Any, channels: int) -> Any:
    """scale * x + shift of an NCHW map, with a number for each channel."""
    weight = F.reshape(scale, (-1, 1, 1, 1))
    return F.Convolution(x, weight, shift, kernel=(1, 1), num_filter=channels, num_group=channels)


def clip_by_convolution(net: Block) -> None:
    """Has the ReLU6 of ``net``, a float32 NCHW network on CPU, computed by depthwise convolutions.

    Norms before a ReLU6 that are constants are computed so, too, and the scale and shift of group norms,
    which otherwise take longer than the rest of such a norm. MXNet's clip is slow there, the more as it takes
    its maps out of oneDNN's layout and back. The same numbers come out, but for rounding, in a third of the
    time forward and backward. It is for training: what is made for inference fuses a clip, and other tools
    know one. Graphs that were cached are dropped.
    """

    def visit(block: Block) -> None:
        if isinstance(block, (BatchNorm, GroupNorm)):
            block.clips_by_convolution = True

    net.apply(visit)
    net.hybridize(getattr(net, "_active", False), **dict(getattr(net, "_flags", ())))


def compute_precision(net: Block, dtype: str | None) -> None:
    """Sets the type that ``net`` computes in; None stands for the type with which it was built.

    The parameters keep their type.
    """

    def visit(block: Block) -> None:
        if isinstance(block, (Conv2D, BatchNorm)):
            block.compute_dtype = dtype or block._own_dtype

    net.apply(visit)
    # A graph that was compiled before computes in the old type; hybridising again drops it.
    net.hybridize(getattr(net, "_active", False), **dict(getattr(net, "_flags", ())))
