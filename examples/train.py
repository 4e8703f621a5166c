"""Trains a detector in ten lines of Python, and shows what it has learnt.

The argument is a data set of any format that `gluon-ssd convert-data` knows. Without one it makes pictures of
shapes to learn from:

    python examples/train.py
    python examples/train.py my_set --epochs 20
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gluon_ssd
from gluon_ssd.data.shapes import make_shapes


def learn(data: Path, epochs: int) -> None:
    """Trains, prints the mAP of each evaluation, and draws what is found in a picture."""
    result = gluon_ssd.train("ssd_tiny/finetune", data=data, output="runs/example", epochs=epochs)
    for row in result.metrics:
        if row["map"] is not None:
            print(f"epoch {row['epoch']}: loss {row['loss']:.2f}, mAP {row['map']:.3f}")
    detector = gluon_ssd.Detector(result.best, score_threshold=0.3)
    pictures = sorted(path for path in data.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for picture in pictures[:1]:
        found = detector(picture)
        found.save("found.jpg")
        print(f"found.jpg: {found}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a small detector, and show what it has learnt.")
    parser.add_argument("data", nargs="?", type=Path, help="data set folder (default: shapes are made)")
    parser.add_argument("--epochs", type=int, default=20, help="default: 20")
    args = parser.parse_args()
    try:
        learn(args.data or make_shapes("shapes", train=200, val=40), args.epochs)
    except gluon_ssd.UserError as error:
        sys.exit(f"error: {error}")
