"""Adam by the published rule, PyTorch's."""

from __future__ import annotations

import math
from typing import Any

from mxnet import optimizer


@optimizer.register
class PublishedAdam(optimizer.Adam):
    """Adam that adds epsilon after the bias correction of the second moment.

    MXNet's adds it before, so that its first updates are smaller where gradients are as small as epsilon: of
    1e-5, by 3 percent. States are MXNet's. Source: Kingma and Ba, "Adam" (2015), algorithm 1.
    """

    epsilon: float

    def update(self, index: int, weight: Any, grad: Any, state: Any) -> None:
        """One step of one parameter; MXNet calls it."""
        steps = self._index_update_count.get(index, self.begin_num_update) + 1
        given, self.epsilon = self.epsilon, self.epsilon * math.sqrt(1 - self.beta2**steps)
        try:
            super().update(index, weight, grad, state)
        finally:
            self.epsilon = given
