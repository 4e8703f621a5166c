"""Numbers for the things in a video, the same from frame to frame, by supervision's ByteTrack."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..detections import Detections
from ..errors import UserError, import_problem


def check_tracking() -> None:
    """Raises UserError where the package that follows things is not installed, or a version without it."""
    try:
        import supervision
    except ImportError as error:
        raise (import_problem(error) or error) from None
    if not hasattr(supervision, "ByteTrack"):
        raise UserError(
            f"--track: supervision {supervision.__version__} has no ByteTrack any more; "
            'pip install "gluon_ssd[tracking]"'
        )


class Tracker:
    """Follows the things in one video. ``rate``: its frames per second, as far as they are looked at.

    Source: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box" (ECCV 2022).
    """

    def __init__(self, rate: float) -> None:
        import supervision

        self._tracker: Any = supervision.ByteTrack(frame_rate=max(1, round(rate)))

    def update(self, found: Detections) -> tuple[int, ...]:
        """Returns the number, from 1, of each thing on the next frame; 0 for one that is not followed."""
        given = found.to_supervision()
        given.data["place"] = np.arange(len(found))
        numbers = np.zeros(len(found), int)
        followed = self._tracker.update_with_detections(given)
        # Nothing followed has no array of places.
        if len(followed):
            numbers[followed.data["place"]] = followed.tracker_id
        return tuple(numbers.tolist())
