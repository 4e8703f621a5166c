"""Plots the losses and the mAP of a training while it runs.

The picture, losses.png in the run folder, is drawn anew after every epoch and every evaluation:

    python examples/live_plot.py my_set --recipe ssd_tiny/demo --epochs 20
"""

import argparse
import sys

from matplotlib.figure import Figure

import gluon_ssd


class LivePlot(gluon_ssd.Callback):
    """Draws a curve of every loss, and one of the mAP."""

    def started(self, info) -> None:
        # Of several processes that train together, each has this callback; one of them draws.
        self.path = info.run_dir / "losses.png" if info.rank == 0 else None
        self.losses, self.scores = {}, {}

    def epoch_ended(self, epoch: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            if name.endswith("loss"):
                self.losses.setdefault(name, {})[epoch] = value
        self.draw()

    def evaluated(self, epoch: int, score: float) -> None:
        self.scores[epoch] = score
        self.draw()

    def draw(self) -> None:
        if self.path is None:
            return
        figure = Figure(figsize=(9, 4))
        for axes, curves in zip(figure.subplots(1, 2), (self.losses, {"mAP": self.scores})):
            for name, points in curves.items():
                axes.plot(list(points), list(points.values()), marker="o", label=name)
            axes.set_xlabel("epoch")
            axes.legend()
        figure.savefig(self.path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="data set folder (COCO layout)")
    parser.add_argument("--recipe", default="ssd_tiny/demo", help="default: ssd_tiny/demo")
    parser.add_argument("--epochs", type=int, default=20, help="default: 20")
    args = parser.parse_args()
    try:
        result = gluon_ssd.train(args.recipe, data=args.data, epochs=args.epochs, callbacks=[LivePlot()])
    except gluon_ssd.UserError as error:
        sys.exit(f"error: {error}")
    print(f"losses and mAP: {result.run_dir / 'losses.png'}")


if __name__ == "__main__":
    main()
