"""``gluon-ssd convert-data``: converts data sets from one format to another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.choices import READINGS
from ..errors import quoted, visible
from ..files import as_path
from .parsing import Parser, add_orientation, bounded, example

if TYPE_CHECKING:
    from ..data.formats.model import DataSet

DESCRIPTION = """Convert a data set of any known format to COCO (which training reads fastest), Pascal VOC,
YOLO or OpenImages CSV. Of train, val and test those are converted that SOURCE has. What was taken otherwise
than it stands there, and what the new format cannot hold, is counted and printed.

Formats: coco (also as CVAT, Roboflow, Label Studio, FiftyOne write it), voc, yolo (Ultralytics, Roboflow,
CVAT), darknet (CVAT's YOLO 1.1, Yolo_mark, LabelImg), openimages, labelme, tf_csv, via."""


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "convert-data",
        usage="gluon-ssd convert-data SOURCE DESTINATION [FLAG ...]",
        help="convert data sets between formats",
        description=DESCRIPTION,
        epilog=example(
            "gluon-ssd convert-data VOCdevkit/VOC2012 voc_coco",
            "gluon-ssd convert-data my_yolo my_coco --from yolo --val-share 0.2",
            "gluon-ssd convert-data labelled my_coco --classes cat dog --images copy",
            "gluon-ssd convert-data /datasets/coco2017 coco_yolo --to yolo",
        ),
    )
    parser.add_argument("source", metavar="SOURCE", help="folder of the data set, or its YAML or JSON file")
    parser.add_argument("destination", metavar="DESTINATION", help="folder to write, new or empty")
    formats = parser.section("formats")
    formats.add_argument(
        "--from", dest="source_format", metavar="FORMAT", help="its format (default: as the files tell)"
    )
    formats.add_argument(
        "--to",
        dest="target_format",
        metavar="FORMAT",
        default="coco",
        help="coco, voc, yolo or openimages (default: coco)",
    )
    group = parser.section("what is taken over")
    group.add_argument(
        "--classes",
        nargs="+",
        metavar="CLASS",
        help="the classes to convert, in this order (default: all); for YOLO without a class list, its names",
    )
    group.add_argument(
        "--images",
        choices=("none", "link", "copy"),
        help="leave the images where they are (default for coco), or link or copy them (default: link)",
    )
    group.add_argument(
        "--val-share",
        type=bounded("float", above=0, below=1),
        metavar="X",
        help="share of the training images to keep for validation, for a SOURCE without val",
    )
    _add_readings(parser)
    return parser


def _add_readings(parser: Parser) -> None:
    """Adds the options that say how the labels are to be read."""
    group = parser.section("how the labels are read")
    group.add_argument(
        "--missing",
        choices=("fail", "skip"),
        default="fail",
        help="what to do about images that labels name but that are not there (default: fail)",
    )
    group.add_argument(
        "--difficult",
        choices=("keep", "crowd", "drop"),
        default="keep",
        help="objects marked difficult: keep as others, as crowd regions, or drop (default: keep)",
    )
    group.add_argument(
        "--origin",
        type=int,
        choices=(0, 1),
        help="number of the first pixel in SOURCE (default: as its format has it, 1 in VOC and 0 in others)",
    )
    add_orientation(group)
    group.add_argument(
        "--boxes",
        choices=READINGS,
        help="what the four numbers of a box are, if not what the format says: x and y of left and top, "
        "right and bottom, or centre; width, height; n: as fractions of the image",
    )
    group.add_argument(
        "--other-size",
        choices=("keep", "scale"),
        default="keep",
        help="boxes of images that have another size than their labels say: keep or scale them "
        "(default: keep)",
    )


def run(args: argparse.Namespace) -> int:
    """Converts the data set, and prints a table of the splits and what was lost."""
    from ..console import Console
    from ..data.formats.conversion import convert_data
    from ..data.formats.model import Options

    console = Console()
    options = Options(
        args.classes,
        args.difficult,
        args.missing == "skip",
        console,
        args.orientation,
        args.boxes,
        args.other_size,
        args.origin,
    )
    source, target = as_path(args.source), as_path(args.destination)
    try:
        data = convert_data(
            source, target, args.source_format, args.target_format, args.images, args.val_share, options
        )
    finally:
        # The bar has to go before anything else is printed, an error as well.
        console.close()
    _report(data, target)
    return 0


def _report(data: DataSet, target: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..data.coco import HOLD_OUT

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("split", "images", "without objects", "boxes", "crowd"):
        table.add_column(title, justify="left" if title == "split" else "right")
    for split, pictures in data.splits.items():
        boxes = [box for picture in pictures for box in picture.boxes]
        empty = sum(not picture.boxes for picture in pictures)
        crowd = sum(box.crowd for box in boxes)
        table.add_row(split, *map(str, (len(pictures), empty, len(boxes), crowd)))
    Console().print(table)
    first = ", ".join(map(quoted, data.classes[:8])) + (", ..." if len(data.classes) > 8 else "")
    print(f"classes: {len(data.classes)} ({first})")
    for line in data.report():
        print(visible(line))
    if list(data.splits) == ["train"]:
        print(f"no validation images: {HOLD_OUT}")
    print(target)
