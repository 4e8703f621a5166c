"""Trainings with extreme numbers in the recipe and in the data."""

from __future__ import annotations

import csv
import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from processes import call
from results import Row

from gluon_ssd.data.shapes import make_shapes

TRAIN = (
    "train --recipe ssd_tiny/smoke --max-steps 3 --batch-size 2 --limit-val 1 --log-every 1 "
    "--warmup-epochs 0 --data {data} --output {run} "
)
Rows = list[dict[str, Any]]


def _crowd(boxes: Rows, rng: random.Random) -> Rows:
    return [{**box, "iscrowd": 1} for box in boxes]


def _pixels(boxes: Rows, rng: random.Random) -> Rows:
    return [{**box, "bbox": [rng.randrange(127), rng.randrange(95), 1, 1], "area": 1} for box in boxes]


def _specks(boxes: Rows, rng: random.Random) -> Rows:
    return [
        {**box, "bbox": [rng.uniform(0, 127), rng.uniform(0, 95), 1e-9, 1e-9], "area": 1} for box in boxes
    ]


def _outside(boxes: Rows, rng: random.Random) -> Rows:
    return [{**box, "bbox": [rng.uniform(-1e6, 1e6), -5, 1e7, 1e7], "area": 1e14} for box in boxes]


def _many(boxes: Rows, rng: random.Random) -> Rows:
    found = []
    for image in sorted({box["image_id"] for box in boxes}):
        kind = boxes[0]["category_id"]
        for _ in range(10_000):
            place = [rng.uniform(0, 100), rng.uniform(0, 70), rng.uniform(1, 27), rng.uniform(1, 25)]
            found.append({"image_id": image, "category_id": kind, "bbox": place, "area": 9, "iscrowd": 0})
    return [{**box, "id": number} for number, box in enumerate(found, start=1)]


def _half(boxes: Rows, rng: random.Random) -> Rows:
    """No object in every second image."""
    return [box for box in boxes if box["image_id"] % 2]


def _same(boxes: Rows, rng: random.Random) -> Rows:
    return boxes


# Flags, what becomes of the annotations of the training images, and how many classes there are.
CASES: Mapping[str, tuple[str, Callable[[Rows, random.Random], Rows], int]] = {
    "lr 1e30": ("--lr 1e30", _same, 0),
    "lr 1e38, adam": ("--lr 1e38 --optimizer adam", _same, 0),
    "lr 1e-300": ("--lr 1e-300", _same, 0),
    "weight decay 1e30": ("--weight-decay 1e30", _same, 0),
    "lr 1e30 with an average of weights": ("--lr 1e30 --ema 0.5", _same, 0),
    "lr nan": ("--lr nan", _same, 0),
    "lr inf": ("--lr inf", _same, 0),
    "images without objects": ("", lambda boxes, rng: [], 0),
    "every second image without objects": ("--batch-size 1", _half, 0),
    # Their batches have no object to match.
    "nothing but crowd regions": ("", _crowd, 0),
    "nothing but crowd regions, half precision": ("--precision fp16", _crowd, 0),
    "nothing but crowd regions, adam, accumulated": ("--accumulate 2 --optimizer adam", _crowd, 0),
    "boxes of one pixel": ("", _pixels, 0),
    "boxes of a billionth of a pixel": ("", _specks, 0),
    "boxes far outside of the picture": ("", _outside, 0),
    "coordinates NaN": ("", lambda b, rng: [{**box, "bbox": [math.nan] * 4} for box in b], 0),
    "coordinates infinite": ("", lambda b, rng: [{**box, "bbox": [0, 0, math.inf, 5]} for box in b], 0),
    "10,000 boxes in each picture": ("", _many, 0),
    "5,000 classes": ("", _same, 5000),
}


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Trains for three steps in each of `CASES`, and yields one row."""
    faults, finite, rng = [], 0, random.Random(seed)
    for place, (name, (flags, change, classes)) in enumerate(CASES.items()):
        data = make_shapes(folder / f"data{place}", train=6, val=1, size=(96, 128), seed=seed)
        _edit(data, change, classes, rng)
        run = folder / f"run{place}"
        status, text = call(TRAIN.format(data=data, run=run) + flags)
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        finite += status == 0
        if status == 0 and not _finite(run / "metrics.csv"):
            faults.append(f"{name}: a loss that is not finite")
        elif errors and "loss is not finite" in errors[0] and not _named(errors[0], data, run):
            faults.append(f"{name}: the images of the batch are not named: {errors[0]}")
        elif status and (status != 2 or len(errors) != 1):
            faults.append(f"{name}: status {status}, {len(errors)} lines of error: {text.strip()[-1200:]}")
        print(f"  {name}: {errors[0] if errors else f'status {status}'}", flush=True)
    note = f"{finite} trained with finite losses, {len(CASES) - finite} refused or ended with one line"
    yield Row("numbers", ", ".join(CASES), len(CASES), len(faults), note, faults=faults)


def _edit(
    data: Path, change: Callable[[Rows, random.Random], Rows], classes: int, rng: random.Random
) -> None:
    for path in (data / "annotations").glob("*train*.json"):
        content = json.loads(path.read_text())
        content["annotations"] = change(content["annotations"], rng)
        path.write_text(json.dumps(content))
    for path in (data / "annotations").glob("*.json") if classes else ():
        content = json.loads(path.read_text())
        known = len(content["categories"])
        more = [{"id": n, "name": f"class {n}"} for n in range(known + 1, classes + 1)]
        content["categories"] += more
        path.write_text(json.dumps(content))


def _named(error: str, data: Path, run: Path) -> bool:
    """Returns whether an error names images of the data set, and the file that holds their batch."""
    ids = re.search(r"; images ([\d, ]+); the batch is in (\S+);", error)
    content = [json.loads(path.read_text()) for path in (data / "annotations").glob("*train*.json")]
    known = {str(row["id"]) for part in content for row in part["images"]}
    return ids is not None and set(ids[1].split(", ")) <= known and (run / Path(ids[2]).name).is_file()


def _finite(metrics: Path) -> bool:
    with open(metrics, newline="") as stream:
        rows = list(csv.DictReader(stream))
    return bool(rows) and all(math.isfinite(float(row["loss"])) for row in rows if row["loss"])
