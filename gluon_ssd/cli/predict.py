"""``gluon-ssd predict``: draws detections on images and writes them as COCO JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, unknown
from ..files import atomic_write, make_folder
from ..machine import threads
from ..runs import make_run_dir
from .parsing import Parser, bounded, example
from .results import Numbering, coco_image, coco_results
from .sources import expand_sources, output_names
from .val import add_detection_flags, add_runtime

if TYPE_CHECKING:

    from ..predict import Detections, Detector


# For checkpoints whose evaluation does not tell a better one.
SCORE_THRESHOLD = 0.3


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser = subparsers.add_parser(
        "predict",
        help="detect objects in images",
        description="Detect objects: annotated images, one detections.json (COCO), a line per image. "
        "Photos are "
        "turned upright as their EXIF orientation says.",
        epilog=example(
            "gluon-ssd predict photos/ --weights runs/ssd_resnet34-1",
            "gluon-ssd predict 'photos/*.jpg' --weights runs/demo/run --score-threshold 0.4 --only circle",
            "gluon-ssd predict val/ --weights runs/mine --annotation annotations/instances_val.json",
        ),
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="image, folder or quoted glob")
    parser.add_argument(
        "--weights", required=True, metavar="CKPT", help="checkpoint, run folder or exported file"
    )
    parser.add_argument("--output", metavar="FOLDER", help="new folder (default: the next runs/predict-<N>)")
    parser.add_argument("--batch-size", type=bounded("int", low=1), default=8, metavar="N", help="default: 8")
    parser.add_argument("--only", nargs="+", metavar="CLASS", help="find these classes alone")
    parser.add_argument(
        "--annotation",
        metavar="FILE",
        help="COCO file that has the images: its image and category ids are written, as pycocotools "
        "wants them",
    )
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="compute in this (default: fp32)"
    )
    add_runtime(parser)
    words = f"that of the best F1 in the checkpoint's last evaluation, else {SCORE_THRESHOLD:g}"
    add_detection_flags(parser, words, otherwise="0.5 and 200, of an exported file its own")
    return parser


def run(args: argparse.Namespace) -> int:
    """Detects, draws and writes the results.

    Unreadable images are reported and left out; they make the exit status 2.
    """
    from ..data.workers import map_ahead

    paths, lines = expand_sources(args.sources)
    detector = _open_detector(args, lines)
    _check_only(args.only, detector.classes)
    numbering = Numbering(paths, detector, args.annotation)
    output = Path(args.output).expanduser() if args.output else make_run_dir("predict")
    pictures = [output / "images" / name for name in output_names(paths)]
    _prepare(output, paths, pictures)
    for line in lines:
        print(line)

    results: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    failed = 0
    outcomes = detector.stream(paths)
    if args.only is not None:
        outcomes = (one if isinstance(one, UserError) else one.only(args.only) for one in outcomes)
    # Threads draw and write while the network works on the next images.
    drawn = map_ahead(_draw, zip(pictures, outcomes), threads(), 2 * args.batch_size)
    for outcome, path, image_id in zip(drawn, paths, numbering.images):
        if isinstance(outcome, UserError):
            failed += 1
            print(f"error: {outcome}", file=sys.stderr)
            continue
        found, size = outcome
        if image_id is not None:
            images.append(coco_image(size, path, image_id))
            results.extend(coco_results(found, path, image_id, numbering.categories))
        print(f"{path}: {found}", flush=True)
    with atomic_write(output / "detections.json") as temporary:
        content = numbering.content(results, images)
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    absent = sum(number is None for number in numbering.images)
    if absent:
        print(f"{absent} images are not in {args.annotation}; detections.json has no detections of them")
    print(f"{len(paths) - failed} images, {len(results)} detections in {output}/")
    return 2 if failed else 0


def _open_detector(args: argparse.Namespace, lines: list[str]) -> Detector:
    """Returns the detector that was asked for. ``lines`` are told where its threshold comes from."""
    # After the sources are found, so that a misspelt path is reported before anything heavy is loaded.
    from ..predict import Detector
    from ..runtimes.sessions import is_model_file

    source, threshold = args.weights, args.score_threshold
    if not is_model_file(source):
        from ..weights.loading import load

        source = load(args.weights, args.device)
        if threshold is None and source.best_threshold is not None:
            threshold = source.best_threshold
            lines.append(
                f"score threshold {threshold:.2f}, that of the best F1 in the checkpoint's last evaluation; "
                "--score-threshold sets another"
            )
    return Detector(
        source,
        score_threshold=SCORE_THRESHOLD if threshold is None else threshold,
        iou_threshold=args.iou_threshold,
        max_detections=args.max_detections,
        fuse=True,
        batch_size=args.batch_size,
        runtime=args.runtime,
        precision=args.precision,
        device=args.device,
    )


def _check_only(only: Sequence[str] | None, classes: Sequence[str]) -> None:
    for name in only or ():
        if name not in classes:
            raise unknown("class", name, classes)


def _prepare(output: Path, sources: Sequence[Path], pictures: Sequence[Path]) -> None:
    """Makes the output folder. Raises UserError where that fails, or where pictures are in it already."""
    originals = {path.resolve() for path in sources}
    for picture in pictures:
        if picture.resolve() in originals:
            raise UserError(f"{picture}: is one of the images to read; choose another --output")
    old = output / "images"
    if (output / "detections.json").exists() or (old.is_dir() and any(old.iterdir())):
        raise UserError(
            f"{output}: holds the pictures of another run; choose another --output, or remove them"
        )
    for folder in (output, old):
        make_folder(folder)



def _draw(job: tuple[Path, Detections | UserError]) -> tuple[Detections, tuple[int, int]] | UserError:
    """Writes an annotated picture. Returns what it shows with its height and width, or why there is none."""
    from ..detections import write_picture

    picture, found = job
    if isinstance(found, UserError):
        return found
    pixels = found.plot()
    write_picture(pixels, picture)
    return found, (pixels.shape[0], pixels.shape[1])
