#!/usr/bin/env python3
"""The steps of download_openimages_mlperf.sh that are more than a download; it calls each split's in turn."""

import argparse
import json
import sys
from pathlib import Path

try:
    from gluon_ssd.data.formats.fetch_images import fetch_images
    from gluon_ssd.data.formats.openimages import read_descriptions
    from gluon_ssd.data.formats.openimages_mlperf import image_ids, write_mlperf_json
    from gluon_ssd.errors import UserError
    from gluon_ssd.files import atomic_write
except ImportError:
    sys.exit("error: gluon_ssd is not installed; pip install it, or set PYTHONPATH to its folder")


def main() -> int:
    """Run one step and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    images = steps.add_parser("images", help="fetch the images that have a box of the 264 classes")
    images.add_argument("split", type=Path, help="folder with labels/ and metadata/, as train")
    images.add_argument("source", help="start of the images' URL, or a folder")
    images.add_argument("--workers", type=int, default=32)
    labels = steps.add_parser("labels", help="write labels/openimages-mlperf.json")
    labels.add_argument("split", type=Path)
    info = steps.add_parser("info", help="write info.json, which says what of the data set is there")
    info.add_argument("folder", type=Path, help="folder with train/ or validation/")
    args = parser.parse_args()
    try:
        if args.step == "info":
            _write_info(args.folder)
            return 0
        boxes, classes = args.split / "labels" / "detections.csv", args.split / "metadata" / "classes.csv"
        if args.step == "images":
            _fetch([f"{name}.jpg" for name in image_ids(boxes, classes)], args)
        else:
            target = args.split / "labels" / "openimages-mlperf.json"
            count, objects = write_mlperf_json(boxes, classes, args.split / "data", target)
            print(f"{target}: {count} images, {objects} boxes")
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run again to go on", file=sys.stderr)
        return 130
    return 0


def _write_info(folder: Path) -> None:
    """Writes info.json as fiftyone would, with the splits whose labels are complete."""
    splits = [path.parents[1] for path in sorted(folder.glob("*/labels/openimages-mlperf.json"))]
    counts = {split.name: sum(1 for _ in (split / "data").iterdir()) for split in splits}
    content = {
        "name": "open-images-v6",
        "zoo_dataset": "fiftyone.zoo.datasets.base.OpenImagesV6Dataset",
        "dataset_type": "fiftyone.types.dataset_types.OpenImagesV6Dataset",
        "num_samples": sum(counts.values()),
        "downloaded_splits": {
            name: {"split": name, "num_samples": count} for name, count in counts.items()
        },
        "classes": list(read_descriptions(splits[0] / "metadata" / "classes.csv").values()),
    }
    target = folder / "info.json"
    with atomic_write(target) as temporary:
        temporary.write_text(json.dumps(content, indent=4), encoding="utf-8")
    print(f"{target}: {content['num_samples']} images")


def _fetch(names: "list[str]", args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(str(args.split / "data"), total=len(names))
        fetched = fetch_images(
            names,
            args.source,
            args.split / "data",
            args.workers,
            lambda done: bar.update(task, completed=done),
        )
    print(f"{args.split / 'data'}: {len(names)} images, {fetched} of them fetched now")


if __name__ == "__main__":
    sys.exit(main())
