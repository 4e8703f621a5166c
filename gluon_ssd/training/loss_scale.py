"""Loss scaling: keeps small gradients within float16's range, and notices when large ones leave it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mxnet as mx

from ..errors import UserError

# After so many steps in a row without a finite gradient nothing will come of the run.
HOPELESS = 50


@dataclass
class LossScale:
    """The factor that the loss is multiplied by before the backward pass and gradients are divided by after.

    ``value`` stays, or, where ``dynamic``, is halved by a step whose gradients are not finite and doubled
    after ``patience`` steps without one. Such a step is not applied but counted in ``skipped``. Source:
    Micikevicius et al., "Mixed Precision Training" (2018), section 3.2.
    """

    value: float = 128.0
    dynamic: bool = False
    patience: int = 2000
    good_steps: int = 0
    bad_steps: int = 0
    skipped: int = 0

    def update(self, finite: bool) -> None:
        """Takes note of a step. Raises UserError when no gradient has been finite for a long time."""
        if finite:
            self.good_steps, self.bad_steps = self.good_steps + 1, 0
            if self.dynamic and self.good_steps % self.patience == 0:
                self.value = min(self.value * 2, 2.0**24)
            return
        self.good_steps, self.bad_steps, self.skipped = 0, self.bad_steps + 1, self.skipped + 1
        if self.dynamic:
            self.value = max(self.value / 2, 2.0**-24)
        if self.bad_steps >= HOPELESS:
            advice = "try a lower lr" if self.dynamic else "try --dynamic-loss-scale, or a lower --loss-scale"
            raise UserError(f"no finite gradient in {HOPELESS} steps, loss scale {self.value:g}; {advice}")


def all_finite(arrays: Sequence[mx.nd.NDArray]) -> bool:
    """Returns whether all values of all arrays are finite. Waits for the device."""
    kinds: dict[Any, list[mx.nd.NDArray]] = {}
    for array in arrays:
        kinds.setdefault(array.dtype, []).append(array)
    flags = [mx.nd.multi_all_finite(*group, num_arrays=len(group)) for group in kinds.values()]
    return all(bool(flag.asscalar()) for flag in flags)
