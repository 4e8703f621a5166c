"""``gluon-ssd val``: scores a checkpoint on a data set."""

from __future__ import annotations

import argparse
from typing import Any

from ..recipe import DEVICES
from ..runtimes.choices import RUNTIMES
from .parsing import Parser, add_orientation, add_recipe_flags, bounded, example, recipe_values

# The keys of a recipe on how images reach the network, as far as an evaluation uses them.
INPUT_KEYS = (
    "data_pipeline",
    "workers",
    "dali_workers",
    "input_batch_multiplier",
    "input_jpg_decode",
    "dali_cache_mb",
    "hw_decoder_load",
)


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "val",
        help="score a checkpoint",
        description="Score a checkpoint on a data set: the 12 COCO numbers and a table per class.",
        epilog=example("gluon-ssd val runs/ssd_resnet34-1 --data /datasets/coco2017"),
    )
    parser.add_argument("checkpoint", help="checkpoint, run folder (its best checkpoint), or exported file")
    parser.add_argument(
        "--data", metavar="DATA", help="data set of any known format (default: the one of its recipe)"
    )
    parser.add_argument(
        "--split", default="val", choices=("train", "val", "test"), help="which images (default: val)"
    )
    parser.add_argument("--annotation", metavar="FILE", help="annotations, if not where COCO has them")
    parser.add_argument("--images", metavar="FOLDER", help="images, if not where COCO has them")
    add_orientation(parser, default=None)
    parser.add_argument(
        "--output", metavar="FOLDER", help="where the results go (default: beside the checkpoint)"
    )
    parser.add_argument("--batch-size", type=bounded("int", low=1), default=8, metavar="N", help="default: 8")
    parser.add_argument("--limit", type=bounded("int", low=1), metavar="N", help="only the first N images")
    parser.add_argument(
        "--nms-candidates",
        type=bounded("int", low=1),
        metavar="N",
        help="best pairs of box and class that NMS sees (default: as in its recipe)",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        help="compute in this; fp16 in MXNet alone (default: what it was trained in)",
    )
    add_runtime(parser)
    add_detection_flags(parser)
    add_recipe_flags(parser, INPUT_KEYS)
    return parser


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that says what computes."""
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="auto",
        help="what computes; auto: MXNet, for an exported file the fastest that is installed",
    )


def add_detection_flags(
    parser: argparse.ArgumentParser, score_threshold: str = "", otherwise: str = "as in its recipe"
) -> None:
    """Adds the flags on turning raw outputs into detections, and the device they are made on.

    ``score_threshold`` says in words what holds where its flag is not given, ``otherwise`` what holds for the
    others, and for it too where it is empty.
    """
    add_thresholds(parser, score_threshold, otherwise)
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: auto")


def add_thresholds(
    parser: argparse.ArgumentParser, score_threshold: str = "", otherwise: str = "as in its recipe"
) -> None:
    """Adds the flags on turning raw outputs into detections; see `add_detection_flags`."""
    parser.add_argument(
        "--score-threshold",
        type=bounded("float", low=0, below=1),
        metavar="X",
        help=f"drop what scores less (default: {score_threshold or otherwise})",
    )
    parser.add_argument(
        "--iou-threshold",
        type=bounded("float", above=0, high=1),
        metavar="X",
        help=f"IoU above which NMS drops a box (default: {otherwise})",
    )
    parser.add_argument(
        "--max-detections",
        type=bounded("int", low=1),
        metavar="N",
        help=f"per image (default: {otherwise})",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluates the checkpoint and prints the scores."""
    from ..data.pipelines import InputSettings
    from ..training.evaluate import validate

    validate(
        args.checkpoint,
        data=args.data,
        split=args.split,
        annotation=args.annotation,
        images=args.images,
        orientation=args.orientation,
        output=args.output,
        batch_size=args.batch_size,
        settings=InputSettings(**{k: v for k, v in recipe_values(args).items() if k in INPUT_KEYS}),
        limit=args.limit,
        score_threshold=args.score_threshold,
        iou_threshold=args.iou_threshold,
        max_detections=args.max_detections,
        nms_candidates=args.nms_candidates,
        device=args.device,
        precision=args.precision,
        runtime=args.runtime,
    )
    return 0
