"""Small data sets in every format, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import cv2
import pytest
from label_files import CSV, voc_xml
from small import picture


@pytest.fixture
def image() -> Callable[..., Path]:
    """Write a picture of 80 x 60 pixels, or of another size."""

    def write(path: Path, width: int = 80, height: int = 60) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture(width, height))
        return path

    return write


@pytest.fixture
def photo(image):
    """Write a picture of 320 x 200 pixels."""
    return lambda path: image(path, 320, 200)


@pytest.fixture
def voc(tmp_path, image) -> Path:
    """Train: a.jpg with a cat over all of it and a difficult dog; val: b.jpg with a cat of one pixel."""
    root = tmp_path / "voc"
    (root / "Annotations").mkdir(parents=True)
    for name in ("a", "b"):
        image(root / "JPEGImages" / f"{name}.jpg")
    boxes = ("cat", (1, 1, 80, 60)), ("dog", (11, 21, 30, 50), 1)
    (root / "Annotations" / "a.xml").write_text(voc_xml(*boxes))
    (root / "Annotations" / "b.xml").write_text(voc_xml(("cat", (5, 7, 5, 7)), name="b.jpg"))
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("b\n")
    return root


@pytest.fixture
def yolo(tmp_path, image) -> Path:
    """Train: a.jpg with two objects, deep/b.png without any; val: a.jpg with one. Classes zebra, cat, ant."""
    root = tmp_path / "yolo"
    for name in ("train/a.jpg", "train/deep/b.png", "val/a.jpg"):
        image(root / "images" / name)
        label = (root / "labels" / name).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("")
    (root / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 1 1\n2 0.25 0.5 0.125 0.2\n")
    (root / "labels" / "val" / "a.txt").write_text("0 0.5 0.25 0.5 0.5\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [zebra, cat, ant]\n")
    return root


@pytest.fixture
def openimages(tmp_path, image) -> Path:
    """Train: a.jpg with a group of cats and a dog; val: b.jpg with a dog."""
    root = tmp_path / "open"
    for split, rows in (
        ("train", "a,x,/m/1,1,0,0.5,0.25,0.75,0,1,1,0,0\na,x,/m/2,1,0.1,0.2,0.5,1,-1,-1,-1,-1,-1\n"),
        ("validation", "b,x,/m/2,1,0.25,0.75,0,1,0,0,0,0,0\n"),
    ):
        image(root / split / "data" / f"{rows[0]}.jpg")
        for folder in ("labels", "metadata"):
            (root / split / folder).mkdir()
        (root / split / "labels" / "detections.csv").write_text(CSV + rows)
        (root / split / "metadata" / "classes.csv").write_text("/m/2,dog\n/m/1,cat\n")
    return root
