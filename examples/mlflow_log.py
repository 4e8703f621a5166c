"""Sends recipe, losses, scores and files of a training to MLflow.

Needs `pip install mlflow` (or mlflow-skinny, which only sends). Where to, MLFLOW_TRACKING_URI says; without
it, MLflow's own default in the current folder:

    python examples/mlflow_log.py my_set --recipe ssd_tiny/demo --epochs 20
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import mlflow

import gluon_ssd


class MLflowLog(gluon_ssd.Callback):
    """Logs to MLflow's active run, or to a new one that is named like the run folder."""

    def started(self, info: Any) -> None:
        # Of several processes that train together, each has this callback; one of them logs.
        self.info = info if info.rank == 0 else None
        if self.info is not None:
            self.own = mlflow.active_run() is None
            if self.own:
                mlflow.start_run(run_name=info.run_dir.name)
            mlflow.log_params(info.recipe.to_dict())

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        if self.info is not None:
            mlflow.log_metrics(dict(values), step=epoch)

    def scored(self, epoch: int, scores: Any) -> None:
        if self.info is not None:
            # -1 stands for a number that these images do not define.
            known = {name: value for name, value in scores.stats.items() if value >= 0}
            mlflow.log_metrics(known, step=epoch)

    def ended(self, reached: bool) -> None:
        if self.info is not None:
            for name in ("recipe.yaml", "report.html", "checkpoints/best.ckpt"):
                if (self.info.run_dir / name).is_file():
                    mlflow.log_artifact(str(self.info.run_dir / name))
            if self.own:
                mlflow.end_run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train, and log to MLflow.")
    parser.add_argument("data", help="data set folder")
    parser.add_argument("--recipe", default="ssd_tiny/demo", help="default: ssd_tiny/demo")
    parser.add_argument("--epochs", type=int, default=20, help="default: 20")
    args = parser.parse_args()
    try:
        gluon_ssd.train(args.recipe, data=args.data, epochs=args.epochs, callbacks=[MLflowLog()])
    except gluon_ssd.UserError as error:
        sys.exit(f"error: {error}")
