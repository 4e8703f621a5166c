"""The operators of the layers in stock MXNet, as it runs them on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# NumPy has no bfloat16; MXNet stands in for it with a structured type.
LOW_PRECISION = {"bfloat16": np.dtype([("bfloat16", np.uint16)]), "float16": np.dtype(np.float16)}


class StockOps:
    """One operator of MXNet per step.

    In all methods ``F`` is `mxnet.sym` or `mxnet.nd`, ``layout`` is that of data and weights, ``precision``
    is the 16-bit type to compute in or None for the type of the data, and ``attrs`` are the attributes of
    MXNet's operator.
    """

    name = "stock MXNet"
    # The output channels of a predictor are padded to a multiple of this, as tensor cores need it.
    channel_multiple = 8

    def convolution(
        self,
        F: Any,
        arrays: list[Any],
        *,
        layout: str,
        precision: str | None,
        tensor_cores: bool = False,
        attrs: Mapping[str, Any],
    ) -> Any:
        """Returns the convolution of ``arrays``: data, weight and, where there is one, bias.

        ``tensor_cores`` asks for kernels that use tensor cores and for no others, where a build has that
        choice.
        """
        arrays = cast_all(F, arrays, precision)
        return F.Convolution(*arrays, name="fwd", **{**attrs, "layout": layout})

    def norm(
        self,
        F: Any,
        x: Any,
        params: Mapping[str, Any],
        *,
        act: str | None = None,
        add: Any = None,
        layout: str,
        precision: str | None,
        attrs: Mapping[str, Any],
    ) -> Any:
        """Returns ``act`` of the sum of ``add`` and the batch norm of ``x``.

        ``params`` holds the four arrays of the norm by Gluon's names. ``act`` and ``add`` may be None.
        """
        x = self._plain_norm(F, x, params, attrs)
        if add is not None:
            x = x + add
        return activate(F, x, act, precision)

    def group_attributes(self, group: Any, layout: str) -> dict[str, Any] | None:
        """Returns the attributes that make a float16 norm share its statistics with ``group``.

        Returns None where no operator can do that. Raises UserError where there is such an operator and it
        does not work for this group.
        """
        return None

    def _plain_norm(self, F: Any, x: Any, params: Mapping[str, Any], attrs: Mapping[str, Any]) -> Any:
        return F.BatchNorm(x, *in_order(params), name="fwd", **attrs)

    def upsample(self, F: Any, x: Any, *, layout: str) -> Any:
        """Returns ``x`` at twice its height and width, every pixel four times; ``x`` is float32."""
        if layout == "NCHW":
            return F.UpSampling(x, scale=2, sample_type="nearest")
        # UpSampling knows NCHW only.
        return F.repeat(F.repeat(x, repeats=2, axis=1), repeats=2, axis=2)


def activate(F: Any, x: Any, act: str | None, precision: str | None = None) -> Any:
    """``x`` after ``act``: None, ``relu6``, ``hard_swish``, or what MXNet's Activation knows, as ``relu``.

    Source of the second: Howard et al., "Searching for MobileNetV3" (2019), section 5.2.
    """
    if act is None:
        return x
    if act not in ("relu6", "hard_swish"):
        return F.Activation(x, act_type=act)
    # MXNet cannot clip bfloat16.
    x = F.amp_cast(x, dtype="float32") if precision == "bfloat16" else x
    return F.clip(x, a_min=0, a_max=6) if act == "relu6" else x * F.clip(x + 3, a_min=0, a_max=6) / 6


def cast_all(F: Any, arrays: list[Any], precision: str | None) -> list[Any]:
    """Returns the arrays cast to ``precision``, or unchanged where that is None."""
    if precision is None:
        return arrays
    return [F.amp_cast(array, dtype=LOW_PRECISION[precision]) for array in arrays]


def in_order(params: Mapping[str, Any]) -> list[Any]:
    """Returns the arrays of a batch norm in the order in which MXNet's operator takes them."""
    return [params[name] for name in ("gamma", "beta", "running_mean", "running_var")]
