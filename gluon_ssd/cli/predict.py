"""``gluon-ssd predict``: draw detections on images and write them as COCO JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Sequence

from ..errors import UserError, unknown
from ..runs import next_run_dir
from .parsing import Parser, bounded, example
from .results import Numbering, coco_image, coco_results
from .sources import expand_sources, output_names
from .val import add_detection_flags

if TYPE_CHECKING:
    from ..detector import Detections, Detector


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
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
    parser.add_argument("--weights", required=True, metavar="CKPT", help="checkpoint or run folder")
    parser.add_argument("--output", metavar="FOLDER", help="new folder (default: the next runs/predict-<N>)")
    parser.add_argument("--batch-size", type=bounded("int", low=1), default=8, metavar="N", help="default: 8")
    parser.add_argument("--only", nargs="+", metavar="CLASS", help="find these classes alone")
    parser.add_argument(
        "--annotation",
        metavar="FILE",
        help="COCO file that has the images: its image and category ids are written, as pycocotools "
        "wants them",
    )
    add_detection_flags(parser, score_threshold=0.3, iou_threshold=0.5, max_detections=200)
    return parser


def run(args: argparse.Namespace) -> int:
    """Detect, draw, write. Unreadable images are reported and left out; they make the exit status 2."""
    paths, lines = expand_sources(args.sources)

    from ..detector import Detector, load
    from ..files import atomic_write

    net = load(args.weights, device=args.device)
    wanted = _chosen(args.only, net.classes)
    numbering = Numbering(paths, net, args.annotation)
    detector = Detector(
        net,
        score_threshold=args.score_threshold,
        iou_threshold=args.iou_threshold,
        max_detections=args.max_detections,
        fuse=True,
        batch_size=args.batch_size,
    )
    output = Path(args.output).expanduser() if args.output else next_run_dir("predict")
    pictures = [output / "images" / name for name in output_names(paths)]
    _prepare(output, paths, pictures)
    for line in lines:
        print(line)

    results: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    failed = 0
    for index, (path, every) in enumerate(detect_all(detector, paths, args.batch_size)):
        if isinstance(every, UserError):
            failed += 1
            print(f"error: {every}", file=sys.stderr)
            continue
        found = keep_classes(every, wanted)
        found.save(pictures[index])
        image_id = numbering.images[index]
        if image_id is not None:
            images.append(coco_image(found, path, image_id))
            results.extend(coco_results(found, path, image_id, numbering.categories))
        print(f"{path}: {summary(found)}", flush=True)
    with atomic_write(output / "detections.json") as temporary:
        content = numbering.content(results, images)
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    absent = sum(number is None for number in numbering.images)
    if absent:
        print(f"{absent} images are not in {args.annotation}; detections.json has no detections of them")
    print(f"{len(paths) - failed} images, {len(results)} detections in {output}/")
    return 2 if failed else 0


def _chosen(only: Sequence[str] | None, classes: Sequence[str]) -> list[int] | None:
    """The indices of the classes to keep, None for all. Raises UserError for one that the network lacks."""
    for name in only or ():
        if name not in classes:
            raise unknown("class", name, classes)
    return None if only is None else [classes.index(name) for name in only]


def keep_classes(found: Detections, wanted: Sequence[int] | None) -> Detections:
    """Return the detections of these classes alone."""
    if wanted is None:
        return found
    kept = [index for index, label in enumerate(found.class_ids) if label in wanted]
    return replace(found, xyxy=found.xyxy[kept], scores=found.scores[kept], class_ids=found.class_ids[kept])


def _prepare(output: Path, sources: Sequence[Path], pictures: Sequence[Path]) -> None:
    """Make the output folder. Raises UserError where it cannot be, or where pictures are in it already."""
    originals = {path.resolve() for path in sources}
    for picture in pictures:
        if picture.resolve() in originals:
            raise UserError(f"{picture}: is one of the images to read; choose another --output")
    old = output / "images"
    if (output / "detections.json").exists() or (old.is_dir() and any(old.iterdir())):
        raise UserError(
            f"{output}: holds the pictures of another run; choose another --output, or remove them"
        )
    try:
        old.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror}; choose another --output") from None


def detect_all(
    detector: Detector, paths: Sequence[Path], batch_size: int
) -> Iterable[tuple[Path, Detections | UserError]]:
    """Yield each path with its detections, or with the error that tells why it has none."""
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        try:
            yield from zip(batch, detector(batch))
        except UserError:
            # One of them cannot be read; one by one the others still get their detections.
            for path in batch:
                yield path, _detect_one(detector, path)


def _detect_one(detector: Detector, path: Path) -> Detections | UserError:
    try:
        return detector([path])[0]
    except UserError as error:
        return error


def summary(found: Detections) -> str:
    """Return what was found in a few words: ``2 dog, 1 cat``, the most frequent first."""
    names = list(found.names)
    counts = sorted({name: names.count(name) for name in names}.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in counts) or "nothing found"
