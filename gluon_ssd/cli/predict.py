"""``gluon-ssd predict``: draw detections on images and write them as COCO results."""

from __future__ import annotations

import argparse
import glob
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Sequence

from ..errors import UserError
from ..files import IMAGE_SUFFIXES, atomic_write, make_folder
from ..runs import make_run_dir
from .parsing import Parser, bounded, example
from .val import add_detection_flags

if TYPE_CHECKING:
    import numpy as np

    from ..predict import Detections, Detector


def add_parser(subparsers: Any) -> Parser:
    """Add this verb to the command line."""
    parser = subparsers.add_parser(
        "predict",
        help="detect objects in images",
        description="Detect objects: annotated images, one detections.json (COCO results), a line per image.",
        epilog=example(
            "gluon-ssd predict photos/ --weights runs/ssd_resnet34-1",
            "gluon-ssd predict 'photos/*.jpg' --weights runs/demo/run --score-threshold 0.4",
        ),
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="image, folder or quoted glob")
    parser.add_argument("--weights", required=True, metavar="CKPT", help="checkpoint or run folder")
    parser.add_argument("--output", metavar="FOLDER", help="default: the next runs/predict-<N>")
    parser.add_argument("--batch-size", type=bounded("int", low=1), default=8, metavar="N", help="default: 8")
    add_detection_flags(parser, score_threshold=0.3, iou_threshold=0.5, max_detections=200)
    return parser


def run(args: argparse.Namespace) -> int:
    """Detect, draw, write. Unreadable images are reported and left out; they make the exit status 2."""
    paths = expand_sources(args.sources)

    from ..predict import Detector

    detector = Detector.from_run(
        args.weights,
        device=args.device,
        score_threshold=args.score_threshold,
        iou_threshold=args.iou_threshold,
        max_detections=args.max_detections,
        fuse=True,
        batch_size=args.batch_size,
    )
    output = Path(args.output).expanduser() if args.output else make_run_dir("predict")
    pictures = [output / "images" / name for name in output_names(paths)]
    _refuse_overwriting(paths, pictures)
    for folder in (output, output / "images"):
        make_folder(folder)

    results: list[dict[str, Any]] = []
    ids, categories = image_ids(paths), category_ids(detector.net.classes)
    failed = 0
    for index, (path, found) in enumerate(detect_all(detector, paths, args.batch_size)):
        if isinstance(found, UserError):
            failed += 1
            print(f"error: {found}", file=sys.stderr)
            continue
        found.save(pictures[index])
        results.extend(coco_results(found, path, ids[index], categories))
        print(f"{path}: {found}", flush=True)
    with atomic_write(output / "detections.json") as temporary:
        temporary.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"{len(paths) - failed} images, {len(results)} detections in {output}/")
    return 2 if failed else 0


def expand_sources(sources: Sequence[str]) -> list[Path]:
    """Return the image files that files, folders (searched through) and globs name, each once, in order.

    A file that is named itself is taken whatever its suffix. Raises :class:`UserError` when a source matches
    nothing.
    """
    paths: dict[Path, None] = {}
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            found: Iterable[Path] = _images(path.rglob("*"))
            missing = f"no image in this folder ({', '.join(sorted(IMAGE_SUFFIXES))})"
        elif path.exists():
            found, missing = [path], ""
        else:
            found = _images(Path(match) for match in glob.glob(str(path), recursive=True))
            missing = "no image matches" if glob.has_magic(source) else "no such file or folder"
        matches = dict.fromkeys(found)
        if not matches:
            raise UserError(f"{source}: {missing}")
        paths.update(matches)
    return list(paths)


def detect_all(
    detector: Detector, paths: Sequence[Path], batch_size: int
) -> Iterable[tuple[Path, Detections | UserError]]:
    """Yield each path with its detections, or with the error that tells why it has none."""
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        images = [_read(path) for path in batch]
        found = iter(detector([image for image in images if not isinstance(image, UserError)]))
        for path, image in zip(batch, images):
            yield path, image if isinstance(image, UserError) else next(found)


def _read(path: Path) -> np.ndarray | UserError:
    from ..data.images import read_image

    try:
        return read_image(path, apply_exif=True)
    except UserError as error:
        return error


def category_ids(classes: Sequence[str]) -> list[int]:
    """Return the COCO category id of each class: COCO's own for its 80 classes, else 1, 2, 3, ..."""
    from ..data.coco_names import COCO_IDS

    if list(classes) == list(COCO_IDS):
        return list(COCO_IDS.values())
    return list(range(1, len(classes) + 1))


def image_ids(paths: Sequence[Path]) -> list[int]:
    """Return an id for each image: the number it is named by, as COCO's are, else its place from 1.

    All are named by different numbers, or all go by their place, so that no two share an id.
    """
    numbers = [int(path.stem) if path.stem.isdecimal() else None for path in paths]
    named = [number for number in numbers if number is not None]
    if len(set(named)) == len(paths):
        return named
    return list(range(1, len(paths) + 1))


def coco_results(
    found: Detections, path: Path, image_id: int, categories: Sequence[int]
) -> list[dict[str, Any]]:
    """Return detections in COCO's results format: ``bbox`` is x, y, width, height in pixels of the file.

    ``categories`` holds the category id of each class.
    """
    from ..boxes import ltrb_to_coco

    return [
        {
            "image_id": image_id,
            "file_name": path.name,
            "category_id": categories[int(class_id)],
            "bbox": [round(float(side), 2) for side in bbox],
            "score": round(float(score), 5),
        }
        for bbox, score, class_id in zip(ltrb_to_coco(found.xyxy), found.scores, found.class_ids)
    ]


def output_names(paths: Sequence[Path]) -> list[str]:
    """Return a file name for each annotated image; one that comes twice gets a number."""
    taken: set[str] = set()
    names = []
    for path in paths:
        suffix = path.suffix if path.suffix.lower() in IMAGE_SUFFIXES else ".png"
        name, count = path.stem + suffix, 1
        while name in taken:
            count += 1
            name = f"{path.stem}-{count}{suffix}"
        taken.add(name)
        names.append(name)
    return names


def _refuse_overwriting(sources: Sequence[Path], pictures: Sequence[Path]) -> None:
    originals = {path.resolve() for path in sources}
    for picture in pictures:
        if picture.resolve() in originals:
            raise UserError(f"{picture}: is one of the images to read; choose another --output")


def _images(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
