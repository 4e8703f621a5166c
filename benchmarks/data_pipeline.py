"""Images per second of the training input: the native loader, DALI on CPU, and a plain Pillow pipeline.

    python benchmarks/data_pipeline.py --data /datasets/coco2017 --threads 2

All read, decode, crop, resize to 300x300, mirror, jitter colours and normalise the same images into batches,
on the same number of threads; Pillow one image after the other with NumPy, as published SSD trainings do. The
numbers are medians over epochs taken in turn, so that a busy machine slows all alike. DALI is left out where
it is not installed. `--memory N` measures instead how the memory of both loaders grows over N images.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import io
import os
import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from gluon_ssd.data import NativeLoader, Preprocess, SSDTrainTransform, crop, open_dataset, transforms
from gluon_ssd.data.coco import CocoDataset
from gluon_ssd.data.epochs import EpochLoader
from gluon_ssd.data.pipelines import InputSettings, Target, make_loader
from gluon_ssd.data.records import Record

STAGES = {
    "read": (Record, "read"),
    "decode": (transforms, "decode_image"),
    "crop, resize": (transforms, "resize_image"),
    "colour": (transforms, "recolour"),
    "normalise": (transforms, "normalise"),
    "choose crop": (crop, "random_crop"),
    "boxes": (transforms, "follow"),
}


def plain_sample(record: Record, rng: np.random.Generator, preprocess: Preprocess) -> np.ndarray:
    """The same augmentation, step by step at full precision, without shortcuts. Returns float32 (3, h, w)."""
    boxes, _ = record.objects()
    frame = crop.random_crop(record.width, record.height, boxes, rng, attempts=1)
    image = Image.open(io.BytesIO(record.read())).convert("RGB").crop(frame)
    image = image.resize(preprocess.size[::-1], Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.875, 1.125))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.5, 1.5))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.5, 1.5))
    hue, saturation, value = image.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(round(rng.uniform(-0.05, 0.05) * 255) % 256)
    image = Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
    array = (np.asarray(image, np.float32) / 255 - np.float32(preprocess.mean)) / np.float32(preprocess.std)
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def time_plain(records: list[Record], preprocess: Preprocess, batch: int, threads: int, epoch: int) -> float:
    """Images per second of the Pillow pipeline over one epoch."""
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(records), batch):
            part = records[first : first + batch]
            rngs = [np.random.default_rng([epoch, first + k]) for k in range(len(part))]
            np.stack(list(pool.map(plain_sample, part, rngs, [preprocess] * len(part))))
    return len(records) / (time.perf_counter() - start)


def time_loader(loader: EpochLoader, epoch: int) -> float:
    """Images per second of a loader over one epoch."""
    loader.set_epoch(epoch)
    start = time.perf_counter()
    count = sum(len(batch) for batch in loader)
    return count / (time.perf_counter() - start)


@contextmanager
def stopwatches():
    """Count the seconds spent in each stage while the block runs; yields {stage: seconds}."""
    spent: dict[str, float] = defaultdict(float)
    originals = {name: getattr(module, function) for name, (module, function) in STAGES.items()}

    def timed(name, function):
        def run(*args, **options):
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent[name] += time.perf_counter() - start

        return run

    for name, (module, function) in STAGES.items():
        setattr(module, function, timed(name, originals[name]))
    try:
        yield spent
    finally:
        for name, (module, function) in STAGES.items():
            setattr(module, function, originals[name])


def profile(loader: NativeLoader, epochs: int) -> None:
    """Print where the time of one thread goes, in milliseconds per image."""
    count = 0
    start = time.perf_counter()
    with stopwatches() as spent:
        for epoch in range(epochs):
            loader.set_epoch(epoch)
            count += sum(len(batch) for batch in loader)
    total = (time.perf_counter() - start) * 1000 / count
    rows = {name: spent[name] * 1000 / count for name in STAGES}
    rows["the rest"] = total - sum(rows.values())
    print(f"one thread, ms per image: {total:.2f}")
    for name, value in sorted(rows.items(), key=lambda row: -row[1]):
        print(f"  {name:12} {value:6.3f}  {value / total:4.0%}")


def dali_is_installed() -> bool:
    """Without importing it."""
    return (
        importlib.util.find_spec("nvidia") is not None and importlib.util.find_spec("nvidia.dali") is not None
    )


def loaders(data: CocoDataset, options: argparse.Namespace, indices: range) -> dict[str, EpochLoader]:
    """The loaders to compare, by name."""
    # One attempt per crop option, as the published trainings have it.
    transform = SSDTrainTransform(Preprocess((options.size, options.size)), attempts=1)
    settings = InputSettings(workers=options.threads)
    names = ["native", "dali"] if dali_is_installed() else ["native"]
    return {
        name: make_loader(
            data,
            transform,
            options.batch,
            replace(settings, data_pipeline=name),
            Target(),
            shuffle=True,
            indices=indices,
        )
        for name in names
    }


def resident_mb() -> float:
    """Memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def show_memory(sides: dict[str, EpochLoader], images: int) -> None:
    """Print the resident memory as the images go through, at five points."""
    for name, loader in sides.items():
        count, marks = 0, []
        for epoch in range(-(-images // loader.samples)):
            loader.set_epoch(epoch)
            count += sum(len(batch) for batch in loader)
            gc.collect()
            if count >= images * (len(marks) + 1) / 5:
                marks.append(f"{count}: {resident_mb():.0f}")
        print(f"  {name:8} MB after images  {'  '.join(marks)}")


def compare(sides: dict[str, EpochLoader], options: argparse.Namespace, records: list[Record]) -> None:
    """Time all sides in turn and print medians and ratios to the native loader."""
    preprocess = Preprocess((options.size, options.size))
    rates: dict[str, list[float]] = defaultdict(list)
    for epoch in range(options.epochs + 1):
        for name, loader in sides.items():
            rates[name].append(time_loader(loader, epoch))
        if options.pillow:
            rates["pillow"].append(time_plain(records, preprocess, options.batch, options.threads, epoch))
    for name, values in rates.items():
        timed = values[1:]
        ratio = statistics.median(a / b for a, b in zip(rates["native"][1:], timed))
        spread = f"({min(timed):.1f} .. {max(timed):.1f})"
        against = "" if name == "native" else f", native / {name} {ratio:.2f}"
        print(f"  {name:8} {statistics.median(timed):7.1f} images/s {spread}{against}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("GLUON_SSD_COCO128"), help="folder in COCO's layout")
    parser.add_argument("--split", default="train")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument(
        "--epochs", type=int, default=7, help="timed epochs of each side, after one to warm up"
    )
    parser.add_argument("--limit", type=int, default=1024, help="use at most so many images")
    parser.add_argument("--memory", type=int, metavar="N", help="measure memory over N images instead")
    parser.add_argument("--no-pillow", dest="pillow", action="store_false", help="leave Pillow out")
    options = parser.parse_args()
    if not options.data:
        parser.error("give --data, or set GLUON_SSD_COCO128 to a folder with coco128")

    cv2.setNumThreads(1)
    data = open_dataset(options.data, options.split)
    indices = range(min(options.limit, len(data)))
    sides = loaders(data, options, indices)
    size = f"{options.size}x{options.size}"
    print(f"{len(indices)} images, {size}, {options.threads} threads, {options.epochs} epochs")
    if options.memory:
        show_memory(sides, options.memory)
        return
    compare(sides, options, [data.records[k] for k in indices])
    alone = NativeLoader(
        data,
        SSDTrainTransform(Preprocess((options.size, options.size)), attempts=1),
        options.batch,
        shuffle=True,
        workers=0,
        indices=indices,
    )
    profile(alone, min(options.epochs, 4))


if __name__ == "__main__":
    main()
