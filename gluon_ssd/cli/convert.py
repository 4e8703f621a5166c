"""``gluon-ssd convert``: converts weights from one kind of file to another."""

from __future__ import annotations

import argparse
from typing import Any

from .parsing import Parser, bounded, example

DESCRIPTION = """Convert weights between PyTorch (.pth, .pt), safetensors (.safetensors), MXNet (.params),
NVIDIA's backbone pickles (.pickle) and the checkpoints here; no PyTorch is needed.

The source is known by its content, the kind of file to write by the name:
  .pth .safetensors   the network under the names of its PyTorch reference
  .params             the network under NVIDIA's names, or a backbone
  .pickle             the backbone alone, as NVIDIA's training reads it
  .ckpt               a checkpoint to predict, evaluate and train with here"""


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "convert",
        help="convert weights of PyTorch, safetensors and MXNet",
        description=DESCRIPTION,
        epilog=example(
            "gluon-ssd convert resnet34-333f7ec4.pth resnet34-333f7ec4.pickle",
            "gluon-ssd convert runs/ssd_resnet34-1 ssd_resnet34.pth",
            "gluon-ssd convert retinanet_resnet50_fpn_coco-eeacb38b.pth retinanet.ckpt",
            "gluon-ssd convert ssd.params ssd.pth --model ssd_resnet34 --classes cat dog",
        ),
    )
    parser.add_argument("source", metavar="SRC", help="weight file, checkpoint or run folder")
    parser.add_argument("target", metavar="DST", help="file to write; its suffix says what")
    group = parser.section("what the files hold")
    group.add_argument("--model", metavar="NAME", help="the model in SRC, where its names do not tell")
    group.add_argument("--classes", nargs="+", metavar="CLASS", help="class names of SRC, where not its own")
    group.add_argument(
        "--stages",
        type=bounded("int", low=1, high=4),
        metavar="N",
        help="stages of a backbone to keep in a pickle (default: 3, of a ResNeXt or RetinaNet 4)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Converts one file and prints what became of it."""
    from ..weights.conversion import convert_file

    print(convert_file(args.source, args.target, args.model, args.classes, args.stages))
    return 0
