"""What a training leaves to whoever started it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..runs import checkpoint_path
from .metrics import read_rows


@dataclass(frozen=True)
class TrainResult:
    """``best_map``: the best mAP, None when nothing was evaluated. ``steps``: optimizer steps in all."""

    run_dir: Path
    best_map: float | None
    steps: int
    reached_target: bool

    @property
    def best(self) -> Path | None:
        """The checkpoint of the best evaluation; None when nothing was evaluated."""
        path = checkpoint_path(self.run_dir, "best")
        return path if path.is_file() else None

    @property
    def last(self) -> Path:
        """The checkpoint at the end of the run."""
        return checkpoint_path(self.run_dir)

    @property
    def metrics(self) -> list[dict[str, float | None]]:
        """The rows of metrics.csv, one per epoch; None where an epoch has no such value."""
        return read_rows(self.run_dir / "metrics.csv")
