"""``gluon-ssd prepare-records``: packs a data set into a few large files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..files import as_path
from .parsing import Parser, add_orientation, bounded, example

if TYPE_CHECKING:
    from ..data.coco import CocoDataset

DESCRIPTION = """Pack a data set of any known format into a few large files, which disks and networks read
faster than many small ones. Train and evaluate from them as from the data set: --data OUTPUT.

Pictures keep their bytes. OUTPUT needs nothing of DATA: the annotations are in records_SPLIT.json."""


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "prepare-records",
        help="pack a data set into RecordIO or TFRecord files",
        description=DESCRIPTION,
        epilog=example(
            "gluon-ssd prepare-records /datasets/coco2017 /datasets/coco2017-records",
            "gluon-ssd prepare-records coco128 coco128-tf --format tfrecord --split train --shards 2",
        ),
    )
    parser.add_argument("data", metavar="DATA", help="data set: folder, or its YAML or JSON file")
    parser.add_argument("output", metavar="OUTPUT", help="folder for the record files")
    group = parser.section("record files")
    group.add_argument(
        "--format",
        default="recordio",
        choices=("recordio", "tfrecord"),
        help="MXNet's RecordIO, or TFRecord with DALI's index files (default: recordio)",
    )
    group.add_argument(
        "--shards",
        type=bounded("int", low=1, high=99999),
        metavar="N",
        help="files per split (default: 8, or fewer for fewer images)",
    )
    group.add_argument("--overwrite", action="store_true", help="replace what was packed there before")
    data = parser.section("data set")
    data.add_argument(
        "--split", default="both", choices=("train", "val", "both"), help="which images (default: both)"
    )
    data.add_argument("--annotation", metavar="FILE", help="its annotations, if not where COCO has them")
    data.add_argument("--images", metavar="FOLDER", help="its images, if not where COCO has them")
    add_orientation(data)
    return parser


def run(args: argparse.Namespace) -> int:
    """Packs one split or both; both are opened and checked before the first is written."""
    if args.split == "both" and (args.annotation or args.images):
        raise UserError("--annotation and --images are of one split; say which: --split train or val")

    from ..console import Console
    from ..data.coco import NoSplit
    from ..data.opening import open_dataset
    from ..data.record_files.prepare import check_output, check_shards, prepare_records

    if as_path(args.data).resolve() == as_path(args.output).resolve():
        raise UserError(f"{args.output}: is the data set itself; give another folder for the record files")
    splits = ("train", "val") if args.split == "both" else (args.split,)
    # Packing takes long, so everything that could stop it is found out before it begins.
    for split in splits:
        check_output(args.output, split, args.format, args.overwrite)
    # A folder of another format is converted once for all splits.
    choice: dict[str, Any] = {"orientation": args.orientation, "converted": {}}
    datasets: dict[str, CocoDataset] = {}
    console = Console()
    for split in splits:
        try:
            datasets[split] = open_dataset(args.data, split, args.annotation, args.images, **choice)
        except NoSplit:
            if args.split == split or split == "train":
                raise
            console.say(f"{args.data}: has no split '{split}'; only train is packed")
    for split, dataset in datasets.items():
        check_shards(dataset, split, args.shards)
    # Both splits may say the same line, which is printed once.
    for line in dict.fromkeys(line for dataset in datasets.values() for line in dataset.lines):
        console.say(line)
    for split, dataset in datasets.items():
        console.start(f"packing {split}", len(dataset))
        try:
            manifest = prepare_records(
                dataset,
                args.output,
                split,
                format=args.format,
                shards=args.shards,
                overwrite=args.overwrite,
                on_image=console.advance,
            )
        finally:
            console.stop()
        console.say(f"{split}: {len(dataset)} images packed, {manifest}")
    return 0
