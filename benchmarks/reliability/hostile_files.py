"""Bombs and deep nests in every kind of file, and links and pipes where a file should be."""

from __future__ import annotations

import io
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import traps
from traps import ENTITIES, LAUGHS, NEST, bomb, npy, packed, picture, text

from gluon_ssd.cli.sources import expand_sources
from gluon_ssd.data.formats.conversion import read_dataset
from gluon_ssd.data.images import read_image
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.data.video import Video
from gluon_ssd.recipe import Recipe
from gluon_ssd.report.run_files import read_run
from gluon_ssd.runtimes.header import Header
from gluon_ssd.tensor_files.reading import read_weights
from gluon_ssd.weights.checkpoint import read_checkpoint

_STATE = json.dumps({"format": 1}).encode()
_LAUGHS = ", ".join(line.partition(": ")[2] for line in LAUGHS.split("\n"))


def _metadata(content: str) -> Header:
    known = ("classes", "category_ids", "size", "mean", "std", "pixels", "batch", "detections")
    values = {"gluon_ssd_format": "1", "model": "m", **dict.fromkeys(known, content)}
    return Header.from_text(values, "m.onnx")


def _zeros(path: Path, width: int = 60_000, height: int = 60_000) -> Path:
    """A PNG that tells of so many pixels in its header alone."""
    data = bytearray(picture(path).read_bytes())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    path.write_bytes(data)
    return path


def _blank(path: Path) -> Path:
    """A whole PNG of 300 million pixels of one bit, in 37 kilobytes."""
    packer = zlib.compressobj()
    rows = b"".join([packer.compress(bytes(2501)) for _ in range(15_000)] + [packer.flush()])
    size = (20_000).to_bytes(4, "big") + (15_000).to_bytes(4, "big")
    chunks = ((b"IHDR", size + b"\x01\0\0\0\0"), (b"IDAT", rows), (b"IEND", b""))
    parts = [len(data).to_bytes(4, "big") + kind + data + _crc(kind + data) for kind, data in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def _loops(folder: Path) -> Path:
    for name in ("one", "two"):
        (traps.yolo(folder) / "images" / name).symlink_to(".")
    (folder / "set" / "images" / "train" / "a.png").rename(folder / "set" / "images" / "b.png")
    return folder / "set"


def _safetensors(path: Path, length: int, head: str) -> Path:
    path.write_bytes(length.to_bytes(8, "little") + head.encode())
    return path


def _listed(*lines: str) -> Any:
    """What `predict -` takes from its standard input."""
    sys.stdin = io.StringIO("\n".join(lines))
    return expand_sources(["-"])


_TENSOR = '{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,%s]}}'
# What is made in a folder and then read; each may raise UserError.
CASES: Mapping[str, Callable[[Path], Any]] = {
    "checkpoint: zip bomb in the state": lambda f: read_checkpoint(bomb(f / "a.ckpt", "state.json", b"")),
    "checkpoint: zip bomb in an array": lambda f: read_checkpoint(
        bomb(f / "a.ckpt", "a.npy", npy("(134217728,)"), state=_STATE)
    ),
    "checkpoint: an array of a trillion numbers": lambda f: read_checkpoint(
        packed(f / "a.ckpt", {"state.json": _STATE, "a.npy": npy("(1000000000000,)")}, zipfile.ZIP_STORED)
    ),
    "checkpoint: deep JSON": lambda f: read_checkpoint(packed(f / "a.ckpt", {"state.json": NEST.encode()})),
    "checkpoint: a member that leads out of it": lambda f: read_checkpoint(
        packed(f / "a.ckpt", {"../../state.json": _STATE, "../stray.npy": npy("(1,)") + b"1234"})
    ),
    ".pth: zip bomb": lambda f: read_weights(bomb(f / "a.pth", "a/data.pkl", b"")),
    ".pth: a path out of the archive": lambda f: read_weights(
        packed(f / "a.pth", {"../../data.pkl": b"N."}, zipfile.ZIP_STORED)
    ),
    "safetensors: a header of exabytes": lambda f: read_weights(
        _safetensors(f / "a.safetensors", 2**60, "{")
    ),
    "safetensors: a tensor of exabytes": lambda f: read_weights(
        _safetensors(f / "a.safetensors", len(_TENSOR % (2**58, 2**60)), _TENSOR % (2**58, 2**60))
    ),
    "safetensors: deep JSON": lambda f: read_weights(_safetensors(f / "a.safetensors", len(NEST), NEST)),
    "recipe: billion laughs": lambda f: Recipe.from_yaml(text(f / "r.yaml", f"epochs: [{_LAUGHS}]")),
    "recipe: a list that holds itself": lambda f: Recipe.from_yaml(text(f / "r.yaml", "epochs: &a [*a]\n")),
    "recipe: a key that is a list": lambda f: Recipe.from_yaml(text(f / "r.yaml", "? [a, b]\n: 1\n")),
    "recipe: deep YAML": lambda f: Recipe.from_yaml(text(f / "r.yaml", f"epochs: {NEST}")),
    "run folder: billion laughs": lambda f: read_run(text(f / "recipe.yaml", f"{LAUGHS}\nlr: *a11\n").parent),
    "run folder: deep YAML": lambda f: read_run(text(f / "recipe.yaml", f"lr: {NEST}").parent),
    "run folder: deep JSON": lambda f: read_run(
        text(text(f / "recipe.yaml", "").parent / "run.json", NEST).parent
    ),
    "YOLO: billion laughs": lambda f: read_dataset(
        traps.yolo(f, f"{LAUGHS}\nnames: *a11\ntrain: images"), "yolo"
    ),
    "YOLO: a list that holds itself": lambda f: read_dataset(
        traps.yolo(f, "names: &a [*a]\ntrain: images"), "yolo"
    ),
    "YOLO: deep YAML": lambda f: read_dataset(traps.yolo(f, f"names: {NEST}"), "yolo"),
    "VOC: billion laughs": lambda f: read_dataset(
        traps.voc(f, f'<!DOCTYPE x [<!ENTITY l0 "lol">{ENTITIES}]>', "&l11;"), "voc"
    ),
    "VOC: an external entity": lambda f: read_dataset(
        traps.voc(f, f'<!DOCTYPE x [<!ENTITY l SYSTEM "file://{f}/secret">]>', "&l;"), "voc"
    ),
    "VOC: deep XML": lambda f: read_dataset(traps.voc(f, "", "<a>" * 100_000 + "</a>" * 100_000), "voc"),
    "COCO: deep JSON": lambda f: open_dataset(
        text(f / "set" / "annotations" / "instances_train2017.json", NEST).parents[1]
    ),
    "LabelMe: deep JSON": lambda f: read_dataset(
        traps.beside(f, "a.json", f'{{"imagePath": 1, "shapes": {NEST}'), "labelme"
    ),
    "VIA: deep JSON": lambda f: read_dataset(traps.beside(f, "via.json", f'{{"a": {NEST}'), "via"),
    "record files: deep JSON": lambda f: open_dataset(
        text(f / "records_train.json", f'{{"gluon_ssd_records": 1, "sha256": "{"0" * 64}", {NEST}').parent
    ),
    "exported file: deep metadata": lambda f: _metadata(NEST),
    "exported file: metadata of other types": lambda f: _metadata('{"a": [1]}'),
    "exported file: metadata of huge numbers": lambda f: _metadata("[1e999, 9e99]"),
    "labels: a link to an endless file": lambda f: read_dataset(
        traps.linked(f, "/dev/zero", "labels/train/a.txt")
    ),
    "class list: a link to an endless file": lambda f: read_dataset(
        traps.linked(f, "/dev/zero", "data.yaml")
    ),
    "image: a link to an endless file": lambda f: read_image(traps.linked(f, "/dev/zero", "b.png") / "b.png"),
    "labels: a pipe": lambda f: read_dataset(traps.pipe(f, "labels/train/a.txt")),
    "image: a pipe": lambda f: read_image(traps.pipe(f, "b.png") / "b.png"),
    "video: a pipe": lambda f: Video(traps.pipe(f, "b.mp4") / "b.mp4"),
    "recipe: a pipe": lambda f: Recipe.from_yaml(traps.pipe(f, "r.yaml") / "r.yaml"),
    "checkpoint: a pipe": lambda f: read_checkpoint(traps.pipe(f, "a.ckpt") / "a.ckpt"),
    ".params: a pipe": lambda f: read_weights(traps.pipe(f, "a.params") / "a.params"),
    ".pth: a pipe": lambda f: read_weights(traps.pipe(f, "a.pth") / "a.pth"),
    "safetensors: a pipe": lambda f: read_weights(traps.pipe(f, "a.safetensors") / "a.safetensors"),
    "images: links in circles": lambda f: read_dataset(_loops(f)),
    "image: 60,000 x 60,000 pixels": lambda f: read_image(_zeros(f / "a.png")),
    "image: 9,000 x 9,000 pixels in a header": lambda f: read_image(_zeros(f / "a.png", 9000, 9000)),
    "image: 300 million blank pixels": lambda f: read_image(_blank(f / "a.png")),
    "predict: a list of names that none can be": lambda f: _listed("a\x00b", "x" * 5000, "[", "\x1b[2J"),
    "predict: a list of folders and links": lambda f: _listed(str(f / "..\x00"), str(_loops(f))),
}
