"""The readers that are given damaged files, and the sound files that the damage begins with."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np
from PIL import Image

from gluon_ssd.data.formats.conversion import convert_data, read_dataset
from gluon_ssd.data.images import file_header, read_image
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.data.record_files.dataset import PackedDataset
from gluon_ssd.data.record_files.prepare import prepare_records
from gluon_ssd.data.shapes import make_shapes
from gluon_ssd.recipe import Recipe
from gluon_ssd.runtimes.header import Header
from gluon_ssd.tensor_files.params_file import write_params
from gluon_ssd.tensor_files.reading import read_weights
from gluon_ssd.tensor_files.safetensors_file import write_safetensors
from gluon_ssd.tensor_files.torch_writer import write_torch
from gluon_ssd.weights.checkpoint import read_checkpoint


@dataclass
class Reader:
    """``make`` writes a sound set of files into a folder and returns those to damage.

    ``read`` reads from that folder; ``mend`` repairs a checksum of a damaged file, which is otherwise all
    that the reader would find, or packs what ``inner`` has taken out of an archive.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    mend: Callable[[bytes], bytes] = bytes
    inner: Callable[[Path], bytes] = Path.read_bytes


ARRAYS = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "a.bias": np.ones(3, np.float32)}


def _weights(write: Callable[[Mapping[str, np.ndarray], Path], Any], name: str, **more: Any) -> Reader:
    def make(folder: Path) -> list[Path]:
        write(ARRAYS, folder / name)
        return [folder / name]

    return Reader(make, lambda folder: read_weights(folder / name), **more)


def _write_pickle(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    path.write_bytes(pickle.dumps(dict(arrays), 2))


def _checkpoint(folder: Path) -> list[Path]:
    state = {
        "format": 1,
        "model": "ssd_tiny",
        "classes": ["a", "b"],
        "preprocess": {"size": [192, 192], "mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0]},
        "options": {"norm_epsilon": 0.001},
        "progress": {"epoch": 2, "best_map": 0.5, "sums": {"loss": 1.5}},
        "recipe": {"model": "ssd_tiny"},
    }
    with zipfile.ZipFile(folder / "last.ckpt", "w") as archive:
        archive.writestr("state.json", json.dumps(state))
        for name, array in ARRAYS.items():
            with archive.open(f"parameters/{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    return [folder / "last.ckpt"]


def _member(suffix: str) -> dict[str, Any]:
    """Returns the fields of a `Reader` that damage one member of an archive, whose checksums stay right."""
    sound: dict[str, bytes] = {}

    def inner(path: Path) -> bytes:
        with zipfile.ZipFile(path) as archive:
            sound.update({name: archive.read(name) for name in archive.namelist()})
        return next(content for name, content in sound.items() if name.endswith(suffix))

    def mend(data: bytes) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in sound.items():
                archive.writestr(name, data if name.endswith(suffix) else content)
        return packed.getvalue()

    return {"inner": inner, "mend": mend}


def _coco(folder: Path) -> list[Path]:
    make_shapes(folder, train=3, val=1, size=(64, 64))
    return sorted((folder / "annotations").glob("*.json"))[:1]


def _converted(target: str, suffixes: tuple[str, ...]) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        make_shapes(folder / "shapes", train=3, val=1, size=(64, 64))
        convert_data(folder / "shapes", folder / "set", None, target, "copy")
        return sorted(path for path in (folder / "set").rglob("*") if path.suffix in suffixes)

    return make


def _labelme(folder: Path) -> list[Path]:
    (folder / "set").mkdir()
    Image.new("RGB", (64, 48)).save(folder / "set" / "a.png")
    shapes = [
        {"label": "cat", "points": [[3, 4], [30, 40]], "shape_type": "rectangle", "flags": {}},
        {"label": "dog", "points": [[3, 4], [30, 40], [9, 30]], "shape_type": "polygon", "group_id": None},
    ]
    content = {"version": "5", "shapes": shapes, "imagePath": "a.png", "imageHeight": 48, "imageWidth": 64}
    path = folder / "set" / "a.json"
    path.write_text(json.dumps(content))
    return [path]


def _table(folder: Path) -> list[Path]:
    (folder / "set").mkdir()
    Image.new("RGB", (64, 48)).save(folder / "set" / "a.png")
    path = folder / "set" / "labels.csv"
    path.write_text("filename,width,height,class,xmin,ymin,xmax,ymax\na.png,64,48,cat,3,4,30,40\n")
    return [path]


def _recipe(folder: Path) -> list[Path]:
    path = folder / "recipe.yaml"
    path.write_text(
        "# a recipe\nmodel: ssd_tiny\nplugin: [a.py]\nepochs: 50\nlr: 3e-3\ndecay_epochs: [38, 46]\n"
        "eval_epochs: &a [1, 2]\nonly: ['x', y]\nwarmup_epochs: 1.5\nasync_val: true\ndata: ~/x\nema: null\n"
    )
    return [path]


def _records(format: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        make_shapes(folder / "shapes", train=3, val=1, size=(64, 64))
        prepare_records(open_dataset(folder / "shapes"), folder / "set", "train", format=format, shards=2)
        return sorted(path for path in (folder / "set").iterdir())

    return make


def _mend_manifest(data: bytes) -> bytes:
    head = re.match(rb'\{"gluon_ssd_records": 1, "sha256": "[0-9a-f]{64}", ', data)
    if head is None:
        return data
    digest = hashlib.sha256(data[head.end() :]).hexdigest().encode()
    return b'{"gluon_ssd_records": 1, "sha256": "' + digest + b'", ' + data[head.end() :]


def _read_records(folder: Path) -> None:
    for record in PackedDataset(folder / "set", "train").records:
        record.pixels()


def _header(folder: Path) -> list[Path]:
    path = folder / "metadata.json"
    values = {"size": [192, 192], "mean": [1.0] * 3, "std": [1.0] * 3, "classes": ["a"], "category_ids": [1]}
    values.update({"pixels": True, "batch": None, "detections": {"score_threshold": 0.5}})
    text = {name: json.dumps(value) for name, value in values.items()}
    path.write_text(json.dumps({"gluon_ssd_format": "1", "model": "ssd_tiny", **text, "licence": "x"}))
    return [path]


def _read_header(folder: Path) -> None:
    # As an ONNX file has them: text by name. That file itself is read by onnxruntime.
    content = (folder / "metadata.json").read_bytes().decode("utf-8", "replace")
    try:
        texts = {name: str(value) for name, value in json.loads(content).items()}
    except (ValueError, RecursionError, AttributeError):  # no names are left, so all is the text of one
        sound = {"size": "[192, 192]", "mean": "[1, 1, 1]", "std": "[1, 1, 1]", "category_ids": "[1]"}
        texts = {**sound, "pixels": "true", "batch": "null", "detections": "{}", "classes": content}
        texts.update({"gluon_ssd_format": "1", "model": "ssd_tiny"})
    str(Header.from_text(texts, "m.onnx").taken)


def _images(folder: Path) -> list[Path]:
    picture = Image.fromarray((np.arange(48 * 64 * 3) % 251).astype(np.uint8).reshape(48, 64, 3))
    for suffix in ("jpg", "png", "bmp", "gif", "tif", "webp", "ppm", "jp2"):
        picture.save(folder / f"a.{suffix}")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "b.jpg", exif=exif)
    return sorted(folder.iterdir())


def _read_images(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        file_header(path)
        read_image(path, apply_exif=True)


def _read_set(name: str) -> Callable[[Path], Any]:
    return lambda folder: read_dataset(folder / "set", name)


READERS: Mapping[str, Reader] = {
    "torch pickle (.pth)": _weights(write_torch, "a.pth"),
    "pickle in a .pth": _weights(write_torch, "a.pth", **_member("data.pkl")),
    "MXNet .params": _weights(write_params, "a.params"),
    "safetensors": _weights(write_safetensors, "a.safetensors"),
    "NVIDIA's pickle": _weights(_write_pickle, "a.pickle"),
    "checkpoint (.ckpt)": Reader(_checkpoint, lambda folder: read_checkpoint(folder / "last.ckpt")),
    "state in a checkpoint": Reader(
        _checkpoint, lambda folder: read_checkpoint(folder / "last.ckpt"), **_member("state.json")
    ),
    "array in a checkpoint": Reader(
        _checkpoint, lambda folder: read_checkpoint(folder / "last.ckpt"), **_member("bias.npy")
    ),
    "RecordIO": Reader(_records("recordio"), _read_records, _mend_manifest),
    "TFRecord": Reader(_records("tfrecord"), _read_records, _mend_manifest),
    "COCO JSON": Reader(_coco, lambda folder: len(open_dataset(folder, "train"))),
    "YOLO": Reader(_converted("yolo", (".txt", ".yaml")), _read_set("yolo")),
    "VOC": Reader(_converted("voc", (".xml", ".txt")), _read_set("voc")),
    "OpenImages CSV": Reader(_converted("openimages", (".csv",)), _read_set("openimages")),
    "LabelMe": Reader(_labelme, _read_set("labelme")),
    "TensorFlow CSV": Reader(_table, _read_set("tf_csv")),
    "recipe YAML": Reader(_recipe, lambda folder: Recipe.from_yaml(folder / "recipe.yaml")),
    "ONNX metadata": Reader(_header, _read_header),
    "images": Reader(_images, _read_images),
}
