"""``gluon-ssd prepare-json``: reduces a COCO annotation file to its boxes."""

from __future__ import annotations

import argparse
from typing import Any

from ..files import as_path
from .parsing import Parser, example

DESCRIPTION = """Write a COCO annotation file without what box detection does not read (outlines, addresses,
dates), which is most of it. The output is that of prepare-json.py in NVIDIA's submissions to MLPerf."""


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    folder = "/datasets/coco2017/annotations"
    parser = subparsers.add_parser(
        "prepare-json",
        help="reduce a COCO annotation file to its boxes",
        description=DESCRIPTION,
        epilog=example(
            f"gluon-ssd prepare-json --keep-keys {folder}/instances_val2017.json "
            f"{folder}/bbox_only_instances_val2017.json"
        ),
    )
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that the verb and scripts/datasets/prepare_json.py have in common."""
    parser.add_argument("input_file", metavar="INPUT", help="annotation file, as instances_val2017.json")
    parser.add_argument("output_file", metavar="OUTPUT", help="annotation file to write")
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--keep-keys",
        "-k",
        action="store_true",
        help="keep the keys that pycocotools asks for, with segmentation empty and area 1.0",
    )
    group.add_argument("--pretty-print", "-p", action="store_true", help="indent by four, for reading")


def run(args: argparse.Namespace) -> int:
    """Writes the file and prints how many images and boxes are in it."""
    from ..data.formats.bbox_only import prepare_json

    source, target = as_path(args.input_file), as_path(args.output_file)
    images, boxes = prepare_json(source, target, args.keep_keys, args.pretty_print)
    # Two blanks behind the colon, as the published script prints them.
    print("images: ", images)
    print("bboxes: ", boxes)
    return 0
