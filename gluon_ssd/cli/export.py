"""``gluon-ssd export``: a checkpoint in the file of another runtime, proven to compute the same."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import UserError
from .parsing import Parser, bounded, example
from .val import add_detection_flags

FORMATS = {"onnx": "to_onnx", "openvino": "to_openvino", "torch": "to_torch", "symbol": "to_symbol"}


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
    parser = subparsers.add_parser(
        "export",
        usage="gluon-ssd export CHECKPOINT --format KIND --output PATH [FLAG ...]",
        help="write a checkpoint for another runtime",
        description="Write a checkpoint as ONNX, OpenVINO's IR, a PyTorch module or MXNet's symbol. The file "
        "is run and compared with the network before it is kept (docs/export.md).",
        epilog=example(
            "gluon-ssd export runs/ssd_resnet34-1 --format onnx --output model.onnx --detections",
            "gluon-ssd export runs/mine --format openvino --output model.xml --preprocess",
        ),
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint, or run folder (its best checkpoint)"
    )
    file = parser.section("file")
    file.add_argument("--format", choices=FORMATS, required=True, help="kind of file")
    file.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="file to write: .onnx, .xml, .py; of a symbol, what both names start with",
    )
    file.add_argument("--detections", action="store_true", help="boxes instead of raw outputs")
    file.add_argument(
        "--preprocess", action="store_true", help="takes uint8 pixels (N, H, W, 3) and normalises inside"
    )
    file.add_argument(
        "--batch", default="dynamic", metavar="N|dynamic", help="images at a time (default: dynamic)"
    )
    file.add_argument(
        "--input-size",
        nargs=2,
        type=bounded("int", low=32),
        metavar=("H", "W"),
        help="RetinaNet: height and width (default: its own)",
    )
    add_detection_flags(parser, "0.05", "0.5", "200")
    parser.section("proof").add_argument(
        "--images", nargs="+", metavar="SOURCE", help="pictures to compare on (default: eight that are made)"
    )
    _add_int8(parser)
    return parser


def _add_int8(parser: Parser) -> None:
    group = parser.section("8 bits")
    group.add_argument(
        "--precision", choices=("fp32", "int8"), default="fp32", help="int8: ONNX, OpenVINO (default: fp32)"
    )
    group.add_argument(
        "--data",
        metavar="DATA",
        help="int8: data set; ranges are measured on training images, mAP on its validation images",
    )
    group.add_argument(
        "--no-score", action="store_true", help="int8: do not measure mAP; ranges may then come from --images"
    )


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written and how it was proven."""
    given = {name: getattr(args, name) for name in ("score_threshold", "iou_threshold", "max_detections")}
    settings = {name: value for name, value in given.items() if value is not None}
    if settings and not args.detections:
        flag = next(iter(settings)).replace("_", "-")
        raise UserError(f"--{flag} is for --detections; raw outputs have no thresholds")
    options = {
        "detections": args.detections,
        "settings": settings,
        "preprocess": args.preprocess,
        "batch": _batch(args.batch),
        "input_size": args.input_size,
        "images": _images(args.images),
        **_int8(args),
    }
    from .. import export

    for line in getattr(export, FORMATS[args.format])(args.checkpoint, args.output, **options).lines:
        print(line)
    return 0


def _int8(args: argparse.Namespace) -> dict[str, Any]:
    """The options of an export in 8 bits. Raises UserError where flags do not go together."""
    if args.precision != "int8":
        if args.data is not None or args.no_score:
            raise UserError("--data and --no-score are for --precision int8")
        return {}
    if args.data is None and not (args.no_score and args.images):
        raise UserError("--precision int8 needs --data, or --images and --no-score, to measure ranges on")
    if args.data is None:
        return {"precision": "int8", "calibration": _images(args.images)}
    from ..data.opening import open_dataset
    from ..export.int8 import IMAGES
    from ..training.evaluate import model_score
    from ..weights.checkpoint import find_checkpoint, read_checkpoint

    classes = read_checkpoint(find_checkpoint(args.checkpoint)).classes
    train = open_dataset(args.data, "train", classes=classes, absent_ok=True)
    pictures = [record.pixels() for record in train.records[:IMAGES]]
    score = None
    if not args.no_score:
        score = model_score(open_dataset(args.data, "val", classes=classes, absent_ok=True))
    return {"precision": "int8", "calibration": pictures, "score": score}


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"--batch is {text!r}; give a number of images, or dynamic")
    return int(text)


def _images(sources: list[str] | None) -> list[Any] | None:
    from .sources import expand_sources

    if sources is None:
        return None
    found = expand_sources(sources)
    if found.videos:
        first = found.videos[0]
        raise UserError(f"--images: {f'camera {first}' if isinstance(first, int) else first} is no picture")
    return list(found.paths)
