"""Finds objects in photographs, prints them, and draws them into copies in the folder `found`.

The first argument is a run folder, a checkpoint or an exported file:

    python examples/detect.py runs/demo/run photo.jpg other.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gluon_ssd


def main() -> None:
    parser = argparse.ArgumentParser(description="Find objects in photographs, and draw them.")
    parser.add_argument("weights", help="run folder, checkpoint or exported file")
    parser.add_argument("photos", nargs="+", help="image files")
    parser.add_argument("--score", type=float, default=0.4, help="smallest score (default: 0.4)")
    args = parser.parse_args()

    detector = gluon_ssd.Detector(args.weights, score_threshold=args.score)
    folder = Path("found")
    folder.mkdir(exist_ok=True)
    # A list goes through the network in batches, while threads read the next photographs.
    for path, found in zip(args.photos, detector(args.photos)):
        print(f"{path}: {found}")
        for each in found:
            left, top, right, bottom = (round(side) for side in each.xyxy)
            print(f"  {each.name} {each.score:.2f} from ({left}, {top}) to ({right}, {bottom})")
        found.save(folder / Path(path).name)


if __name__ == "__main__":
    try:
        main()
    except gluon_ssd.UserError as error:
        sys.exit(f"error: {error}")
