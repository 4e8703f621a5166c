"""The layers' operators in stock MXNet, as it runs them on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# NumPy has no bfloat16; this is how MXNet spells it.
LOW_PRECISION = {"bfloat16": np.dtype([("bfloat16", np.uint16)]), "float16": np.dtype(np.float16)}


class StockOps:
    """One MXNet operator per step.

    ``F`` is `mxnet.sym` or `mxnet.nd`; ``layout`` that of data and weights; ``precision`` the 16-bit type to
    compute in, None for the type of the data; ``attrs`` are MXNet's attributes of the operator.
    """

    name = "stock MXNet"
    # Output channels of a predictor are padded to whole vectors of this many.
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
        """``arrays``: data, weight and, where there is one, bias. ``tensor_cores``: use no others."""
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
        """Batch norm of ``x``, plus ``add``, then ``act``. ``params``: the four arrays by Gluon's names."""
        x = self._plain_norm(F, x, params, attrs)
        if add is not None:
            x = x + add
        return activate(F, x, act, precision)

    def group_attributes(self, group: Any, layout: str) -> dict[str, Any] | None:
        """Attributes that make a float16 norm share statistics with ``group``; None where no operator can.

        Raises UserError where the operator that could do it does not work for this group.
        """
        return None

    def _plain_norm(self, F: Any, x: Any, params: Mapping[str, Any], attrs: Mapping[str, Any]) -> Any:
        return F.BatchNorm(x, *in_order(params), name="fwd", **attrs)

    def upsample(self, F: Any, x: Any, *, layout: str) -> Any:
        """Every pixel four times, float32."""
        if layout == "NCHW":
            return F.UpSampling(x, scale=2, sample_type="nearest")
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
    """The arrays in ``precision``; None leaves them."""
    if precision is None:
        return arrays
    return [F.amp_cast(array, dtype=LOW_PRECISION[precision]) for array in arrays]


def in_order(params: Mapping[str, Any]) -> list[Any]:
    """The arrays of a batch norm as MXNet's operator takes them."""
    return [params[name] for name in ("gamma", "beta", "running_mean", "running_var")]
