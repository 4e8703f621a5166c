"""Which rank keeps the others waiting."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from statistics import median

import mxnet as mx

from .distributed import World

# A rank this much slower than the middle one of the others, and by so many seconds, is named, after so many
# looks.
SLOW, SECONDS, LOOKS = 1.3, 0.005, 3


class Pace:
    """How long a step of this rank takes before it meets the others, looked at now and then.

    All ranks end a step at the same time, so its whole length does not tell who was late. A look waits for
    the device twice, which costs a little of the step it is taken in. Where ranks meet inside the network
    (``meets_inside``: norms in groups), only the wait for images is a rank's own.
    """

    def __init__(self, meets_inside: bool = False) -> None:
        self._meets_inside = meets_inside
        self._began: float | None = None
        self._own: list[float] = []
        self._named = False

    def new_epoch(self) -> None:
        """What was seen before does not count any more."""
        self._own, self._named = [], False

    def begin(self, waited: float) -> None:
        """A step that is to be looked at begins; ``waited``: seconds per step this rank lacks images."""
        if self._meets_inside:
            self._own.append(waited)
            return
        mx.nd.waitall()
        self._began = time.perf_counter() - waited

    def gradients_queued(self) -> None:
        """The step's own part is over as soon as the device is done with what is queued."""
        if self._began is not None:
            mx.nd.waitall()
            self._own.append(time.perf_counter() - self._began)
            self._began = None

    def straggler(self, world: World, looks: int = LOOKS) -> str | None:
        """A line about a slow rank, once an epoch, as soon as there were so many looks. Collective."""
        if len(self._own) < looks or self._named or world.size == 1:
            return None
        mean = sum(self._own) / len(self._own)
        line = straggler(*zip(*world.gather((mean, socket.gethostname()))))
        self._named = line is not None
        return line


def straggler(times: Sequence[float], hosts: Sequence[str]) -> str | None:
    """A line about the slowest rank, by seconds per step and host of each; None when they are much alike."""
    slowest = max(range(len(times)), key=times.__getitem__)
    others = median([value for rank, value in enumerate(times) if rank != slowest])
    if times[slowest] <= max(SLOW * others, others + SECONDS):
        return None
    return (
        f"rank {slowest} on {hosts[slowest]} is slow: {times[slowest]:.3f} s of its own per step, "
        f"the others {others:.3f} s"
    )
