"""Learning-rate schedules."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from math import cos, pi


@dataclass(frozen=True)
class StepSchedule:
    """Warm-up by iterations, then decay by epochs.

    ``lr``: rate after warm-up, before decay. ``warmup_steps``: optimizer steps of warm-up; step i of them,
    from 1, has lr - (warmup_steps - i) * lr / (warmup_steps * 2**warmup_factor): with factor 0 a straight
    line from 0. With ``warmup_start``, step 1 has that share of lr instead, and what follows a straight
    line to lr at step warmup_steps + 1. ``decay_epochs``: epochs after which the rate is multiplied by
    ``decay_factor``. ``shift``: what is added to a step, 0 but for a run that goes on with a batch of another
    size, whose steps so far count as if they had been of the present size. Sources: NVIDIA's MLPerf v1.1 SSD;
    with ``warmup_start`` MLPerf's RetinaNet (0.001) and DeepLearningExamples' SSD (0).
    """

    lr: float
    warmup_steps: int = 0
    warmup_factor: float = 0.0
    decay_epochs: tuple[int, ...] = ()
    decay_factor: float = 0.1
    warmup_start: float | None = None
    shift: int = 0

    def __call__(self, epoch: int, step: int) -> float:
        """Returns the rate of optimizer step ``step`` of the run, in epoch ``epoch``; both count from 1."""
        rate = self.lr * self._share(epoch, step + self.shift)
        # Of the two ways to count steps the larger, so that a warm-up that is over stays so.
        missing = self.warmup_steps - max(step, step + self.shift)
        if self.warmup_start is not None:
            if missing >= 0:
                rate *= 1 - (1 - self.warmup_start) * (missing + 1) / self.warmup_steps
        elif missing > 0:
            rate -= missing * rate / (self.warmup_steps * 2**self.warmup_factor)
        return rate

    def _share(self, epoch: int, step: int) -> float:
        """Returns what is left of ``lr`` after the decays so far."""
        return self.decay_factor ** bisect(self.decay_epochs, epoch - 1)


@dataclass(frozen=True)
class CosineSchedule(StepSchedule):
    """The same warm-up, then half a cosine wave from ``lr`` towards 0 at the end of step ``total_steps``.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), one cycle.
    """

    total_steps: int = 1

    def _share(self, epoch: int, step: int) -> float:
        done = (step - 1 - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return (1 + cos(pi * min(max(done, 0.0), 1.0))) / 2
