"""The readers that are given damaged files."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import itertools
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np
import serving_bodies
import sound_files as sound

from gluon_ssd.data.formats.conversion import read_dataset
from gluon_ssd.data.images import file_header, read_image
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.data.record_files.dataset import PackedDataset
from gluon_ssd.data.video import Video
from gluon_ssd.errors import UserError
from gluon_ssd.recipe import Recipe
from gluon_ssd.report.run_files import read_run
from gluon_ssd.report.run_page import run_page
from gluon_ssd.runtimes.header import Header
from gluon_ssd.tensor_files.params_file import write_params
from gluon_ssd.tensor_files.reading import read_weights
from gluon_ssd.tensor_files.safetensors_file import write_safetensors
from gluon_ssd.tensor_files.torch_writer import write_torch
from gluon_ssd.weights.checkpoint import read_checkpoint

# The bytes that reading may take besides four times the file. Pictures may have Pillow's number of pixels,
# of which Pillow itself holds four bytes each, and the result three.
MEMORY = 96 << 20
PIXELS = 8 * 89_478_485


@dataclass
class Reader:
    """``make`` writes a sound set of files into a folder and returns those to damage.

    ``read`` reads from that folder, of which one file has changed; ``mend`` repairs a checksum of a damaged
    file, which is otherwise all that the reader would find, or packs what ``inner`` has taken out of an
    archive. ``memory``: bytes that it may take besides four times the file. ``needs``: a package without
    which it cannot be tried.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path, Path], Any]
    mend: Callable[[bytes], bytes] = bytes
    inner: Callable[[Path], bytes] = Path.read_bytes
    memory: int = MEMORY
    needs: str = ""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Returns the errors by which it refuses a file."""
        if not self.needs:
            return (UserError,)
        from starlette.exceptions import HTTPException

        return UserError, HTTPException


def available() -> list[str]:
    """Returns the readers that can be tried here."""
    return [name for name, row in READERS.items() if not row.needs or importlib.util.find_spec(row.needs)]


def _weights(write: Callable[[Mapping[str, np.ndarray], Path], Any], name: str, **more: Any) -> Reader:
    def make(folder: Path) -> list[Path]:
        write(sound.ARRAYS, folder / name)
        return [folder / name]

    return Reader(make, lambda folder, path: read_weights(path), **more)


def _member(suffix: str) -> dict[str, Any]:
    """Returns the fields of a `Reader` that damage one member of an archive, whose checksums stay right."""
    members: dict[str, bytes] = {}

    def inner(path: Path) -> bytes:
        with zipfile.ZipFile(path) as archive:
            members.update({name: archive.read(name) for name in archive.namelist()})
        return next(content for name, content in members.items() if name.endswith(suffix))

    def mend(data: bytes) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, data if name.endswith(suffix) else content)
        return packed.getvalue()

    return {"inner": inner, "mend": mend}


def _header_on(path: Path) -> bytes:
    """A safetensors file from its header on, which is JSON, without the length of that in front."""
    return path.read_bytes()[8:]


def _length_first(data: bytes) -> bytes:
    return (data.rfind(b"}") + 1).to_bytes(8, "little") + data


def _checkpoint(**more: Any) -> Reader:
    return Reader(sound.checkpoint, lambda folder, path: read_checkpoint(path), **more)


def _set(make: Callable[[Path], list[Path]], name: str) -> Reader:
    return Reader(make, lambda folder, path: read_dataset(folder / "set", name))


def _mend_manifest(data: bytes) -> bytes:
    head = re.match(rb'\{"gluon_ssd_records": 1, "sha256": "[0-9a-f]{64}", ', data)
    if head is None:
        return data
    digest = hashlib.sha256(data[head.end() :]).hexdigest().encode()
    return b'{"gluon_ssd_records": 1, "sha256": "' + digest + b'", ' + data[head.end() :]


def _read_records(folder: Path, path: Path) -> None:
    for record in PackedDataset(folder / "set", "train").records:
        record.pixels()


def _read_metadata(folder: Path, path: Path) -> None:
    # As an ONNX file has them: text by name. That file itself is read by onnxruntime.
    content = path.read_bytes().decode("utf-8", "replace")
    try:
        texts = {name: str(value) for name, value in json.loads(content).items()}
    except (ValueError, RecursionError, AttributeError):  # no names are left, so all is the text of one
        known = {"size": "[192, 192]", "mean": "[1, 1, 1]", "std": "[1, 1, 1]", "category_ids": "[1]"}
        texts = {**known, "pixels": "true", "batch": "null", "detections": "{}", "classes": content}
        texts.update({"gluon_ssd_format": "1", "model": "ssd_tiny"})
    str(Header.from_text(texts, "m.onnx").taken)


def _read_image(folder: Path, path: Path) -> None:
    file_header(path)
    read_image(path, apply_exif=True)


def _read_video(folder: Path, path: Path) -> None:
    with closing(Video(path)) as video:
        list(itertools.islice(video.frames(), 20))


READERS: Mapping[str, Reader] = {
    "torch pickle (.pth)": _weights(write_torch, "a.pth"),
    "pickle in a .pth": _weights(write_torch, "a.pth", **_member("data.pkl")),
    "MXNet .params": _weights(write_params, "a.params"),
    "safetensors": _weights(write_safetensors, "a.safetensors"),
    "header of safetensors": _weights(
        write_safetensors, "a.safetensors", inner=_header_on, mend=_length_first
    ),
    "NVIDIA's pickle": _weights(sound.write_pickle, "a.pickle"),
    "checkpoint (.ckpt)": _checkpoint(),
    "state in a checkpoint": _checkpoint(**_member("state.json")),
    "array in a checkpoint": _checkpoint(**_member("bias.npy")),
    "RecordIO": Reader(sound.records("recordio"), _read_records, _mend_manifest),
    "TFRecord": Reader(sound.records("tfrecord"), _read_records, _mend_manifest),
    "COCO JSON": Reader(sound.coco, lambda folder, path: len(open_dataset(folder, "train"))),
    "YOLO": _set(sound.converted("yolo", (".txt", ".yaml")), "yolo"),
    "Darknet": _set(sound.darknet, "darknet"),
    "VOC": _set(sound.converted("voc", (".xml", ".txt")), "voc"),
    "OpenImages CSV": _set(sound.converted("openimages", (".csv",)), "openimages"),
    "LabelMe": _set(sound.labelme, "labelme"),
    "VIA": _set(sound.via, "via"),
    "TensorFlow CSV": _set(sound.table, "tf_csv"),
    "recipe YAML": Reader(sound.recipe, lambda folder, path: Recipe.from_yaml(path)),
    "run folder": Reader(sound.run_folder, lambda folder, path: run_page(read_run(folder))),
    "ONNX metadata": Reader(sound.metadata, _read_metadata),
    "images": Reader(sound.images, _read_image, memory=PIXELS),
    "videos": Reader(sound.video, _read_video, memory=PIXELS),
    "KServe request": Reader(serving_bodies.inference, serving_bodies.read_inference, needs="starlette"),
    "multipart form": Reader(serving_bodies.form, serving_bodies.read_form, needs="python_multipart"),
}
