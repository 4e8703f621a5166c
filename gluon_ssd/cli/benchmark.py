"""``gluon-ssd benchmark``: how fast a detector runs here, by runtime, precision and batch size."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import atomic_write
from ..runs import make_run_dir
from ..runtimes.choices import PRECISIONS, SCENARIOS
from .parsing import Parser, bounded, example


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
    parser = subparsers.add_parser(
        "benchmark",
        help="time a detector in every runtime that is installed",
        description="Time a detector in every runtime and precision that is installed, each in a process of "
        "its own, one after the other. Close what else computes on the machine.",
        epilog=example(
            "gluon-ssd benchmark runs/ssd_resnet34-1 --output speed.csv",
            "gluon-ssd benchmark model.onnx --batch-size 1 --runtime onnxruntime",
            "gluon-ssd benchmark model.onnx --loadgen Offline --data /datasets/coco2017",
        ),
    )
    parser.add_argument("source", metavar="SOURCE", help="checkpoint, run folder or exported file")
    parser.add_argument(
        "--runtime", nargs="+", choices=tuple(PRECISIONS), help="only these (default: all that are installed)"
    )
    parser.add_argument(
        "--batch-size",
        nargs="+",
        type=bounded("int", low=1),
        metavar="N",
        help="images at a time (default: 1 8, with --loadgen 8)",
    )
    parser.add_argument(
        "--rounds",
        type=bounded("int", low=1),
        metavar="N",
        help="batches to time (default: 20, with --loadgen 100)",
    )
    parser.add_argument("--output", metavar="FILE", help="also write the table: .csv or .md")
    _add_loadgen(parser)
    return parser


def _add_loadgen(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "MLPerf's load generator",
        "It times one runtime (--runtime, with --precision), at most --batch-size images at a time, and then "
        "asks for all images of --data, whose answers are scored. --rounds is its smallest number of "
        "queries, --output the folder of its logs.",
    )
    group.add_argument("--loadgen", choices=SCENARIOS, help="drive the detector with it in this scenario")
    group.add_argument("--data", metavar="DATA", help="data set, whose validation images are asked for")
    group.add_argument("--precision", choices=("fp32", "bf16"), help="compute in this (default: fp32)")
    group.add_argument(
        "--seconds", type=bounded("float", low=0), metavar="S", help="shortest time (default: 60)"
    )
    group.add_argument(
        "--target-qps",
        type=bounded("float", above=0),
        metavar="X",
        help="Server: queries sent a second; Offline: images a second that are expected (default: 1)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print a line of each setting and the whole as a table, and write it."""
    from ..benchmark import as_csv, as_markdown, measure, settings_for

    if args.loadgen is not None:
        return _drive(args)
    for name in ("data", "precision", "seconds", "target_qps"):
        if getattr(args, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} is for --loadgen")
    writers = {".csv": as_csv, ".md": as_markdown}
    output = None if args.output is None else Path(args.output).expanduser()
    if output is not None and output.suffix.lower() not in writers:
        raise UserError(f"{output}: the name of such a file ends in .csv or .md")
    speeds = []
    for runtime, precision in settings_for(args.source, args.runtime):
        for batch in args.batch_size or (1, 8):
            plugins = getattr(args, "plugin", ())
            speeds.append(measure(args.source, runtime, precision, batch, args.rounds or 20, plugins))
            print(f"{runtime} {precision}, batch {batch}: {speeds[-1].images_per_s:.1f} images/s", flush=True)
    print(as_markdown(speeds), end="")
    if output is not None:
        with atomic_write(output) as temporary:
            temporary.write_text(writers[output.suffix.lower()](speeds), encoding="utf-8")
        print(f"table in {output}")
    return 0


def _drive(args: argparse.Namespace) -> int:
    """Runs LoadGen twice, for the speed and for the answers, and prints its results and the scores."""
    from ..data.opening import open_dataset
    from ..loadgen import Load, drive, score_log, summary
    from ..predict import Detector
    from ..training.evaluate import score_table

    runtimes, batches = args.runtime or ["auto"], args.batch_size or [8]
    if len(runtimes) > 1 or len(batches) > 1:
        raise UserError("--loadgen drives one runtime at one batch size; give one --runtime, --batch-size")
    if args.data is None:
        raise UserError("--loadgen needs the images of a data set; give --data")
    detector = Detector(
        args.source, runtime=runtimes[0], precision=args.precision or "fp32", fuse=True, batch_size=batches[0]
    )
    dataset = open_dataset(args.data, "val", classes=detector.classes, absent_ok=True)
    given = {"seconds": args.seconds, "target_qps": args.target_qps, "queries": args.rounds}
    load = Load(args.loadgen, **{name: value for name, value in given.items() if value is not None})
    output = Path(args.output).expanduser() if args.output else make_run_dir("loadgen")
    drive(detector, dataset, load, output / "performance")
    print("\n".join(summary(output / "performance")), flush=True)
    drive(detector, dataset, load, output / "accuracy", accuracy=True)
    print(score_table(score_log(output / "accuracy" / "mlperf_log_accuracy.json", dataset)))
    print(f"logs of LoadGen in {output}")
    return 0
