"""The demo: a detector that learns, is scored and draws, with nothing to download."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np

from .console import duration
from .data.images import read_image
from .data.shapes import make_shapes
from .detections import Detections
from .errors import UserError
from .machine import OtherPrograms
from .recipe import load_recipe
from .report.draw import contact_sheet, draw_boxes, sheet_font
from .report.gallery import spread
from .report.picture_file import write_picture
from .runs import refuse_running

PICTURES = 12
# Height and width in pixels of a picture on the sheet of detections.
_CELL = (270, 360)
# Fewer images than these do not fill a batch of the demo's recipe.
FEW = 30
# From this share of the processor's time on, other programs are worth a remark.
_BUSY = 0.25


def make_data(folder: Path, images: int = 500, seed: int = 0) -> Path:
    """Makes the data set of shapes in ``folder`` and returns that; one picture in five is for validation."""
    print(f"making {images} pictures of shapes in {folder} ...", flush=True)
    return make_shapes(folder, train=images - images // 5, val=images // 5, seed=seed)


def run_demo(output: Path, seed: int = 0, epochs: int | None = None, images: int = 500) -> float:
    """Makes a data set of shapes under ``output``, trains the small SSD on it, scores it and draws.

    Returns the mAP on the validation images. A demo that was there before is replaced. Raises UserError when
    ``output`` holds something else or a demo that is running, or cannot be written.
    """
    # Imported here, so that the data set alone can be made where MXNet is not installed.
    from .training.train import run_training

    start, others = time.perf_counter(), OtherPrograms()
    data, run, pictures = output / "data", output / "run", output / "pictures"
    if output.exists() and not _is_demo(output):
        raise UserError(f"{output}: holds something else than a demo; choose another --output")
    # Before anything is deleted.
    refuse_running(run)
    for folder in (run, pictures):
        shutil.rmtree(folder, ignore_errors=True)
    make_data(data, images, seed)
    changes = {} if epochs is None else {"epochs": epochs}
    if images < FEW:
        changes["batch_size"] = 2
    recipe = load_recipe("ssd_tiny/demo", {"data": str(data), "output": str(run), "seed": seed, **changes})
    result = run_training(recipe)
    paths = _draw(run, data, pictures)
    print(f"the whole demo took {duration(time.perf_counter() - start)}; mAP {result.best_map:.4f}")
    if others.share() > _BUSY:
        print(
            f"the machine was busy: other programs took {others.share():.0%} of the processor's time; "
            "without them the demo is faster"
        )
    print("next, on images and labels of your own: gluon-ssd train --recipe ssd_tiny/finetune --data FOLDER")
    print("pictures of detections:")
    for path in (*paths, run / "val" / "samples.jpg", run / "metrics.png"):
        print(f"  {path}")
    return result.best_map or 0.0


def _is_demo(folder: Path) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {"data", "run", "pictures"}


def _draw(run: Path, data: Path, pictures: Path) -> list[Path]:
    """Draws detections on some validation images, into one file each and all on one sheet."""
    from .predict import Detector

    detector = Detector(run / "best", score_threshold=0.4)
    pictures.mkdir(parents=True, exist_ok=True)
    images = spread(sorted((data / "val").glob("*.jpg")), PICTURES)
    found = detector([read_image(path) for path in images])
    for path, detections in zip(images, found):
        detections.save(pictures / path.name)
    sheet = pictures / "detections.jpg"
    drawn = [_drawn_for_sheet(detections) for detections in found]
    write_picture(contact_sheet(drawn, columns=4, cell=_CELL), sheet)
    return [sheet]


def _drawn_for_sheet(found: Detections) -> np.ndarray:
    """Returns an image with its boxes, enlarged twice so that the labels are sharp."""
    image, size = found.image, 2 * sheet_font(found.image, _CELL)
    return draw_boxes(image, found.xyxy, found.names, found.scores, found.class_ids, scale=2, font_size=size)
