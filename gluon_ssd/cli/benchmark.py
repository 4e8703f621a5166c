"""``gluon-ssd benchmark``: how fast a detector runs here, by runtime, precision and batch size."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..files import as_path, make_folder, new_text_file
from ..recipe import DEVICES
from ..runs import make_run_dir
from ..runtimes.choices import PRECISIONS, SCENARIOS
from .parsing import Parser, bounded, example

if TYPE_CHECKING:
    from ..benchmark import Speed


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
    parser = subparsers.add_parser(
        "benchmark",
        usage="gluon-ssd benchmark SOURCE [SOURCE ...] [FLAG ...]",
        help="time detectors in every runtime that is installed",
        description="Time detectors in every runtime and precision that is installed, each in a process of "
        "its own, one after the other. Close what else computes on the machine.",
        epilog=example(
            "gluon-ssd benchmark runs/ssd_resnet34-1 --output speed.csv speed.png",
            "gluon-ssd benchmark ssd_resnet34 gluoncv:ssd_300_resnet34_v1b_coco --precision fp32",
            "gluon-ssd benchmark model.onnx --batch-size 1 --runtime onnxruntime",
            "gluon-ssd benchmark model.onnx --loadgen Offline --data /datasets/coco2017",
        ),
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="checkpoint, run folder, exported file or model of the zoo, also gluoncv:NAME",
    )
    parser.section("results").add_argument(
        "--output", nargs="+", metavar="FILE", help="also write the table, .csv or .md, and its plot, .png"
    )
    group = parser.section("what is timed")
    group.add_argument(
        "--precision", choices=("fp32", "bf16"), help="only this (default: all; with --loadgen fp32)"
    )
    group.add_argument(
        "--data", metavar="DATA", help="data set, whose validation images give the mAP of each row"
    )
    group.add_argument(
        "--runtime",
        nargs="+",
        choices=tuple(PRECISIONS),
        metavar="NAME",
        help=f"only these of {', '.join(PRECISIONS)} (default: all that are installed)",
    )
    group.add_argument(
        "--batch-size",
        nargs="+",
        type=bounded("int", low=1),
        metavar="N",
        help="images at a time (default: 1 8, with --loadgen 8)",
    )
    group.add_argument(
        "--rounds",
        type=bounded("int", low=1),
        metavar="N",
        help="batches to time (default: 20, with --loadgen 100)",
    )
    group.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU if there is one")
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
    """Measures, prints a line of each setting and the whole as a table, and writes it."""
    from ..benchmark import Question, measure, settings_for

    if args.loadgen is not None:
        return _drive(args)
    for name in ("seconds", "target_qps"):
        if getattr(args, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} is for --loadgen")
    outputs = [as_path(name) for name in args.output or ()]
    for path in outputs:
        if path.suffix.lower() not in (".csv", ".md", ".png"):
            raise UserError(f"{path}: the name of such a file ends in .csv, .md or .png")
        make_folder(path.parent)
    how: dict[str, Any] = {"batches": args.batch_size or (1, 8), "rounds": args.rounds or 20}
    how.update(data=args.data, plugins=getattr(args, "plugin", ()), device=args.device)
    # All of them first, so that a mistake is told before anything is measured.
    questions = [
        Question(source, *setting, **how)
        for source in args.sources
        for setting in settings_for(source, args.runtime, args.precision)
    ]
    speeds: list[Speed] = []
    try:
        for question in questions:
            for speed in measure(question):
                speeds.append(speed)
                print(f"{_label(speed)}: {speed.images_per_s:.1f} images/s", flush=True)
    finally:
        # Also where a later source fails: what was measured before may have taken hours.
        if speeds:
            _show(speeds, outputs)
    return 0


def _show(speeds: Sequence[Speed], outputs: Sequence[Path]) -> None:
    """Prints the table of what was measured, and writes it."""
    from ..benchmark import as_markdown

    print(as_markdown(speeds), end="")
    for path in outputs:
        _write(path, speeds)
        print(f"{'plot' if path.suffix.lower() == '.png' else 'table'} in {path}")


def _label(speed: Speed) -> str:
    return f"{speed.source}, {speed.runtime} {speed.precision}, batch {speed.batch}"


def _write(path: Path, speeds: Sequence[Speed]) -> None:
    from ..benchmark import as_csv, as_markdown
    from ..report.speeds import plot_speeds

    if path.suffix.lower() == ".png":
        return plot_speeds(path, list(map(_label, speeds)), [speed.images_per_s for speed in speeds])
    text = as_csv(speeds) if path.suffix.lower() == ".csv" else as_markdown(speeds)
    with new_text_file(path) as file:
        file.write(text)


def _drive(args: argparse.Namespace) -> int:
    """Runs LoadGen twice, for the speed and for the answers, and prints its results and the scores."""
    from ..data.opening import open_dataset
    from ..loadgen import Load, drive, score_log, summary
    from ..predict import Detector
    from ..training.coco_eval import score_table

    runtimes, batches = args.runtime or ["auto"], args.batch_size or [8]
    if len(args.sources) > 1 or len(runtimes) > 1 or len(batches) > 1:
        raise UserError("--loadgen drives one detector; give one source, --runtime and --batch-size")
    if args.data is None:
        raise UserError("--loadgen needs the images of a data set; give --data")
    detector = Detector(
        args.sources[0],
        runtime=runtimes[0],
        precision=args.precision or "fp32",
        fuse=True,
        batch_size=batches[0],
        device=args.device,
    )
    dataset = open_dataset(args.data, "val", classes=detector.classes, absent_ok=True)
    given = {"seconds": args.seconds, "target_qps": args.target_qps, "queries": args.rounds}
    load = Load(args.loadgen, **{name: value for name, value in given.items() if value is not None})
    output = as_path(args.output[0]) if args.output else make_run_dir("loadgen")
    drive(detector, dataset, load, output / "performance")
    print("\n".join(summary(output / "performance")), flush=True)
    drive(detector, dataset, load, output / "accuracy", accuracy=True)
    print(score_table(score_log(output / "accuracy" / "mlperf_log_accuracy.json", dataset)))
    print(f"logs of LoadGen in {output}")
    return 0
