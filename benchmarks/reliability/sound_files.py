"""The sound files that damage begins with: each function writes some into a folder and returns them."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import numpy as np
from PIL import Image

from gluon_ssd.data.formats.conversion import convert_data
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.data.record_files.prepare import prepare_records
from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.data.video import VideoWriter

ARRAYS = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "a.bias": np.ones(3, np.float32)}
STATE = {
    "format": 1,
    "model": "ssd_tiny",
    "classes": ["a", "b"],
    "preprocess": {"size": [192, 192], "mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0]},
    "options": {"norm_epsilon": 0.001},
    "progress": {"epoch": 2, "best_map": 0.5, "sums": {"loss": 1.5}},
    "recipe": {"model": "ssd_tiny"},
}


def write_pickle(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes what NVIDIA's files hold: a dictionary of arrays."""
    path.write_bytes(pickle.dumps(dict(arrays), 2))


def checkpoint(folder: Path) -> list[Path]:
    with zipfile.ZipFile(folder / "last.ckpt", "w") as archive:
        archive.writestr("state.json", json.dumps(STATE))
        for name, array in ARRAYS.items():
            with archive.open(f"parameters/{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    return [folder / "last.ckpt"]


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _pictured(folder: Path) -> Path:
    """Returns a folder with one picture in it."""
    (folder / "set").mkdir()
    Image.new("RGB", (64, 48)).save(folder / "set" / "a.png")
    return folder / "set"


def coco(folder: Path) -> list[Path]:
    make_shapes(folder, train=3, val=1, size=(64, 64))
    return sorted((folder / "annotations").glob("*.json"))[:1]


def converted(target: str, suffixes: tuple[str, ...]) -> Callable[[Path], list[Path]]:
    """Returns a function that writes a data set in the format ``target``."""

    def make(folder: Path) -> list[Path]:
        make_shapes(folder / "shapes", train=3, val=1, size=(64, 64))
        convert_data(folder / "shapes", folder / "set", None, target, "copy")
        return sorted(path for path in (folder / "set").rglob("*") if path.suffix in suffixes)

    return make


def labelme(folder: Path) -> list[Path]:
    shapes = [
        {"label": "cat", "points": [[3, 4], [30, 40]], "shape_type": "rectangle", "flags": {}},
        {"label": "dog", "points": [[3, 4], [30, 40], [9, 30]], "shape_type": "polygon", "group_id": None},
    ]
    content = {"version": "5", "shapes": shapes, "imagePath": "a.png", "imageHeight": 48, "imageWidth": 64}
    return [written(_pictured(folder) / "a.json", content)]


def via(folder: Path) -> list[Path]:
    shapes = [
        {"name": "rect", "x": 3, "y": 4, "width": 20, "height": 10},
        {"name": "ellipse", "cx": 30, "cy": 20, "rx": 9, "ry": 5, "theta": 0.5},
        {"name": "polygon", "all_points_x": [3, 30, 9], "all_points_y": [4, 40, 30]},
    ]
    regions = [{"shape_attributes": shape, "region_attributes": {"type": "cat"}} for shape in shapes]
    row = {"filename": "a.png", "size": 1, "regions": regions, "file_attributes": {}}
    return [written(_pictured(folder) / "via.json", {"a.png1": row})]


def darknet(folder: Path) -> list[Path]:
    home = _pictured(folder)
    return [
        written(home / "obj.data", "classes = 2\ntrain = train.txt\nnames = obj.names\nbackup = backup/\n"),
        written(home / "obj.names", "cat\ndog\n"),
        written(home / "train.txt", "a.png\n"),
        written(home / "a.txt", "0 0.5 0.5 0.2 0.2\n1 0.25 0.25 0.1 0.3\n"),
    ]


def table(folder: Path) -> list[Path]:
    text = "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,64,48,cat,3,4,30,40\n"
    return [written(_pictured(folder) / "labels.csv", text)]


def recipe(folder: Path) -> list[Path]:
    text = (
        "# a recipe\nmodel: ssd_tiny\nplugin: [a.py]\nepochs: 50\nlr: 3e-3\ndecay_epochs: [38, 46]\n"
        "eval_epochs: &a [1, 2]\nonly: ['x', y]\nwarmup_epochs: 1.5\nasync_val: true\ndata: ~/x\nema: null\n"
    )
    return [written(folder / "recipe.yaml", text)]


def run_folder(folder: Path) -> list[Path]:
    """What a report reads of a training, without an evaluation."""
    session: dict[str, Any] = {"command": "gluon-ssd train", "machine": "one"}
    session.update(started="2026-01-02 03:04:05", versions={"gluon_ssd": "0.1.0"}, seconds={"train": 20.5})
    return [
        *recipe(folder),
        written(folder / "run.json", {"sessions": [session]}),
        written(folder / "metrics.csv", "epoch,step,loss,val_map\n1,10,2.5,\n2,20,1.5,0.25\n"),
    ]


def records(format: str) -> Callable[[Path], list[Path]]:
    """Returns a function that packs a data set into record files."""

    def make(folder: Path) -> list[Path]:
        make_shapes(folder / "shapes", train=3, val=1, size=(64, 64))
        prepare_records(open_dataset(folder / "shapes"), folder / "set", "train", format=format, shards=2)
        return sorted(path for path in (folder / "set").iterdir())

    return make


def metadata(folder: Path) -> list[Path]:
    """The metadata of an exported file, text by name."""
    values = {"size": [192, 192], "mean": [1.0] * 3, "std": [1.0] * 3, "classes": ["a"], "category_ids": [1]}
    values.update({"pixels": True, "batch": None, "detections": {"score_threshold": 0.5}})
    text = {name: json.dumps(value) for name, value in values.items()}
    content = {"gluon_ssd_format": "1", "model": "ssd_tiny", **text, "licence": "x"}
    return [written(folder / "metadata.json", content)]


def images(folder: Path) -> list[Path]:
    picture = Image.fromarray((np.arange(48 * 64 * 3) % 251).astype(np.uint8).reshape(48, 64, 3))
    for suffix in ("jpg", "png", "bmp", "gif", "tif", "webp", "ppm", "jp2"):
        picture.save(folder / f"a.{suffix}")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "b.jpg", exif=exif)
    return sorted(folder.iterdir())


def video(folder: Path) -> list[Path]:
    with VideoWriter(folder / "a.mp4", 5.0) as writer:
        for level in range(6):
            writer.write(np.full((48, 64, 3), 40 * level, np.uint8))
    return [folder / "a.mp4"]
