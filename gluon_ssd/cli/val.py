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
# Headings that several verbs have.
COMPUTE, DETECTIONS = "what computes", "detections"
IN_RECIPE = "as in its recipe"


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "val",
        usage="gluon-ssd val CHECKPOINT [--data DATA] [FLAG ...]",
        help="score a checkpoint",
        description="Score a checkpoint on a data set: the 12 COCO numbers and a table per class.",
        epilog=example("gluon-ssd val runs/ssd_resnet34-1 --data /datasets/coco2017"),
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="checkpoint, run folder (its best checkpoint), or exported file",
    )
    data = parser.section("data set")
    data.add_argument(
        "--data", metavar="DATA", help="data set of any known format (default: the one of its recipe)"
    )
    data.add_argument(
        "--split", default="val", choices=("train", "val", "test"), help="which images (default: val)"
    )
    data.add_argument("--annotation", metavar="FILE", help="annotations, if not where COCO has them")
    data.add_argument("--images", metavar="FOLDER", help="images, if not where COCO has them")
    add_orientation(data, default=None)
    data.add_argument("--limit", type=bounded("int", low=1), metavar="N", help="only the first N images")
    parser.section("results").add_argument(
        "--output", metavar="FOLDER", help="where they go (default: beside the checkpoint)"
    )
    add_detection_flags(parser)
    parser.section(DETECTIONS).add_argument(
        "--nms-candidates",
        type=bounded("int", low=1),
        metavar="N",
        help="best pairs of box and class that NMS sees (default: as in its recipe)",
    )
    compute = parser.section(COMPUTE)
    compute.add_argument(
        "--batch-size",
        type=bounded("int", low=1),
        default=8,
        metavar="N",
        help="images at a time (default: 8)",
    )
    compute.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        help="compute in this; fp16 in MXNet alone (default: what it was trained in)",
    )
    add_runtime(parser)
    add_recipe_flags(parser, INPUT_KEYS)
    return parser


def add_runtime(parser: Parser) -> None:
    """Adds the flags that say what computes, and where."""
    group = parser.section(COMPUTE)
    group.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="auto",
        help="what computes; auto: MXNet, for an exported file the fastest that is installed",
    )
    group.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU if there is one")


def add_detection_flags(
    parser: Parser, score: str = IN_RECIPE, iou: str = IN_RECIPE, most: str = IN_RECIPE
) -> None:
    """Adds the flags on turning raw outputs into detections, with words on what holds without each."""
    group = parser.section(DETECTIONS)
    group.add_argument(
        "--score-threshold",
        type=bounded("float", low=0, below=1),
        metavar="X",
        help=f"drop what scores less (default: {score})",
    )
    group.add_argument(
        "--iou-threshold",
        type=bounded("float", above=0, high=1),
        metavar="X",
        help=f"IoU above which NMS drops a box (default: {iou})",
    )
    group.add_argument(
        "--max-detections",
        type=bounded("int", low=1),
        metavar="N",
        help=f"detections per image (default: {most})",
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
