"""``gluon-ssd predict``: draws detections on images and videos, and writes them in any of several formats."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, unknown, visible
from ..files import as_path, make_folder
from ..runs import make_run_dir
from ..runtimes.choices import SHOWN_THRESHOLD, detector_options
from .parsing import Parser, bounded, example
from .sources import Sources, expand_sources, output_names, result_names
from .val import COMPUTE, DETECTIONS, add_detection_flags, add_runtime

if TYPE_CHECKING:
    from ..predict import Detector


# What `gluon_ssd.outputs` can write, which is not imported for the help alone.
KINDS = ("images", "json", "csv", "crops", "yolo", "labelme")


def add_parser(subparsers: Any) -> Parser:
    """Adds this verb to the command line."""
    parser: Parser = subparsers.add_parser(
        "predict",
        usage="gluon-ssd predict SOURCE [SOURCE ...] --weights CKPT [FLAG ...]",
        help="detect objects in images, videos and cameras",
        description="Detect objects: annotated images and videos, one detections.json (COCO), a line per "
        "image. Photos are turned upright as their EXIF orientation says.",
        epilog=example(
            "gluon-ssd predict photos/ --weights runs/ssd_resnet34-1",
            "gluon-ssd predict 'photos/*.jpg' --weights runs/demo/run --score-threshold 0.4 --only circle",
            "gluon-ssd predict val/ --weights runs/mine --annotation annotations/instances_val.json",
            "gluon-ssd predict street.mp4 --weights runs/mine --save images csv",
            "gluon-ssd predict camera --weights runs/mine --show",
        ),
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="image, video, folder, quoted glob, camera or camera:N; - takes a list from standard input",
    )
    parser.section("sources").add_argument(
        "--allow-url",
        action="store_true",
        help="also fetch sources that are http:// or https:// URLs, into downloads/ of the output folder",
    )
    parser.section("detector").add_argument(
        "--weights", required=True, metavar="CKPT", help="checkpoint, run folder or exported file"
    )
    _add_results(parser)
    best = f"that of the best F1 in the checkpoint's last evaluation, else {SHOWN_THRESHOLD:g}"
    add_detection_flags(parser, best, "0.5, or an exported file's own", "200, or an exported file's own")
    parser.section(DETECTIONS).add_argument(
        "--only", nargs="+", metavar="CLASS", help="find these classes alone"
    )
    _add_video(parser)
    compute = parser.section(COMPUTE)
    compute.add_argument(
        "--batch-size",
        type=bounded("int", low=1),
        metavar="N",
        help="images at a time (default: 8; of a camera 1)",
    )
    compute.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="compute in this (default: fp32)"
    )
    compute.add_argument(
        "--timing",
        action="store_true",
        help="also measure what reading, network and post-processing take, on the first images or frames",
    )
    add_runtime(parser)
    return parser


def _add_results(parser: Parser) -> None:
    group = parser.section("results")
    group.add_argument("--output", metavar="FOLDER", help="new folder (default: the next runs/predict-<N>)")
    group.add_argument(
        "--save",
        nargs="+",
        choices=KINDS,
        default=["images", "json"],
        metavar="WHAT",
        help="what to write: images (with boxes; of a video an MP4 file), json (COCO), csv, crops, yolo or "
        "labelme (a data set with these labels, to correct and train on) (default: images json)",
    )
    group.add_argument(
        "--annotation",
        metavar="FILE",
        help="COCO file that has the images: its image and category ids are written, as pycocotools "
        "wants them",
    )


def _add_video(parser: Parser) -> None:
    group = parser.section("videos and cameras (docs/how-to/video.md)")
    group.add_argument(
        "--every",
        type=bounded("int", low=1),
        default=1,
        metavar="N",
        help="of a video, look at every N-th frame (default: 1)",
    )
    group.add_argument(
        "--track",
        action="store_true",
        help="number the things in a video, the same from frame to frame (ByteTrack; extra tracking)",
    )
    group.add_argument(
        "--show", action="store_true", help="show a video in a window while it is read; q or Esc ends it"
    )


def run(args: argparse.Namespace) -> int:
    """Detects, draws and writes the results.

    Unreadable images are reported and left out; they make the exit status 2.
    """
    with ExitStack() as stack:
        folder = None
        if args.allow_url:
            # Made for URLs alone, since nothing removes it where the process is killed.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gluon-ssd-")))
        sources = expand_sources(args.sources, folder)
        if not sources.paths and not sources.videos:
            return 2
        return _run(args, sources)


def _run(args: argparse.Namespace, sources: Sources) -> int:
    if args.annotation and sources.videos:
        raise UserError("--annotation: has ids of images; predict on videos without it")
    _check_video_flags(args, sources)
    if args.batch_size is None:
        args.batch_size = 1 if any(isinstance(video, int) for video in sources.videos) else 8
    detector = _open_detector(args, sources.lines)
    _check_only(args.only, detector.classes)
    return _predict(args, sources, detector)


def _predict(args: argparse.Namespace, sources: Sources, detector: Detector) -> int:
    from ..outputs.coco import Numbering
    from ..outputs.results import Results
    from ..prediction import Prediction

    # Before the output folder, which a user whose flag is wrong would have to remove.
    window = _window(args)
    numbering = Numbering(sources.paths, detector, args.annotation)
    output = as_path(args.output) if args.output else make_run_dir("predict")
    pictures = output_names(sources.paths)
    videos = [video if isinstance(video, Path) else Path(f"camera-{video}") for video in sources.videos]
    names = result_names(sources.paths, videos)
    _prepare(output, sources.paths, [output / "images" / name for name in pictures])
    sources = sources.moved(output / "downloads")
    for line in sources.lines:
        print(visible(line))
    with closing(Results(output, args.save, numbering)) as results:
        job = Prediction(detector, results, only=args.only, every=args.every, track=args.track, window=window)
        job.images(sources.paths, list(zip(names, pictures)), numbering.images)
        try:
            job.videos(sources.videos, names[len(pictures) :])
        except KeyboardInterrupt:
            # The usual end of a camera.
            print("stopped by Ctrl-C; what was found until then is written")
    if args.timing:
        print(_timing(detector, sources, args.batch_size))
    absent = sum(number is None for number in numbering.images)
    if absent:
        print(f"{absent} images are not in {args.annotation}; detections.json has no detections of them")
    looked_at = "".join(f"{count} {what}, " for what, count in job.counts.items())
    print(f"{looked_at}{results.count} detections in {output}/")
    return 2 if job.failed or sources.failed else 0


def _check_video_flags(args: argparse.Namespace, sources: Sources) -> None:
    """Raises UserError for a flag of videos where there is none, or where --track cannot be had."""
    given = {"--every": args.every > 1, "--track": args.track, "--show": args.show}
    wrong = [flag for flag, is_set in given.items() if is_set and not sources.videos]
    if wrong:
        raise UserError(f"{wrong[0]}: is for videos and cameras; name one, or leave it out")
    if args.track:
        from ..outputs.tracker import check_tracking

        check_tracking()


def _timing(detector: Detector, sources: Sources, count: int) -> str:
    """Returns a line of what the parts take, on as many of the sources as go through the network together."""
    from ..benchmark import part_times
    from ..prediction import first_images

    images = first_images(sources.paths, sources.videos, count)
    if not images:
        return "timing: no image to measure on"
    parts = part_times(detector, images)
    each = ", ".join(f"{part} {milliseconds:.1f} ms" for part, milliseconds in parts.items())
    return f"timing of an image, {len(images)} at a time: {each}"


def _window(args: argparse.Namespace) -> Any:
    """Returns the window that --show asks for; None without it."""
    if not args.show:
        return None
    from ..outputs.window import Window

    return Window("gluon-ssd predict")


def _open_detector(args: argparse.Namespace, lines: list[str]) -> Detector:
    """Returns the detector that was asked for. ``lines`` are told where its threshold comes from."""
    # After the sources are found, so that a misspelt path is reported before anything heavy is loaded.
    from ..predict import Detector

    asked = "best" if args.score_threshold is None else args.score_threshold
    detector = Detector(args.weights, asked, **detector_options(args))
    if asked == "best" and detector.last_best is not None:
        lines.append(
            f"score threshold {detector.score_threshold:.2f}, that of the best F1 in the training's last "
            "evaluation; --score-threshold sets another, a lower one to see more"
        )
    return detector


def _check_only(only: Sequence[str] | None, classes: Sequence[str]) -> None:
    for name in only or ():
        if name not in classes:
            raise unknown("class", name, classes)


def _prepare(output: Path, sources: Sequence[Path], pictures: Sequence[Path]) -> None:
    """Makes the output folder. Raises UserError where that fails, or where results are in it already."""
    originals = {path.resolve() for path in sources}
    for picture in pictures:
        if picture.resolve() in originals:
            raise UserError(f"{picture}: is one of the images to read; choose another --output")
    files, folders = ("detections.json", "detections.csv"), ("images", "videos", "crops", "yolo", "labelme")
    for name in (*files, *folders, "downloads"):
        old = output / name
        if old.is_file() or (old.is_dir() and any(old.iterdir())):
            raise UserError(
                f"{output}: holds the results of another run; choose another --output, or remove them"
            )
    make_folder(output)
