"""Files and folders that were made to harm: bombs, deep nests, tricks with paths and links."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from PIL import Image
from results import Row

from gluon_ssd.data.formats.conversion import convert_data, read_dataset
from gluon_ssd.data.formats.model import Options
from gluon_ssd.data.images import read_image
from gluon_ssd.data.opening import open_dataset
from gluon_ssd.errors import UserError
from gluon_ssd.recipe import Recipe
from gluon_ssd.runtimes.header import Header
from gluon_ssd.tensor_files.reading import read_weights
from gluon_ssd.weights.checkpoint import read_checkpoint

SECONDS, MEMORY = 10, 256 << 20
SECRET = "the content of a file that nobody named"
LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
ENTITIES = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
NEST = "[" * 100_000


def _zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _bomb(path: Path, name: str, start: bytes, **more: bytes) -> Path:
    """A zip file of 3 MB with 512 MB in one member, behind the members ``more``."""
    _zip(path, {f"{key}.json": content for key, content in more.items()})
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w") as file,
    ):
        file.write(start)
        for _ in range(32):
            file.write(b" " * (1 << 24))
    return path


def _npy(shape: str) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode()


def _text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(path)
    return path


def _coco(folder: Path, name: str) -> Path:
    image = {"id": 1, "file_name": name, "width": 64, "height": 48}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 30]}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "cat"}]}
    _picture(folder / "set" / "train2017" / "a.png")
    _text(folder / "set" / "annotations" / "instances_train2017.json", json.dumps(content))
    return folder / "set"


def _yolo(folder: Path, yaml: str = "names: [cat]\ntrain: images/train\n") -> Path:
    _picture(folder / "set" / "images" / "train" / "a.png")
    _text(folder / "set" / "labels" / "train" / "a.txt", "0 0.5 0.5 0.2 0.2\n")
    _text(folder / "set" / "data.yaml", yaml)
    return folder / "set"


def _voc(folder: Path, head: str, name: str = "cat") -> Path:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>"
    body = f"<annotation><filename>a.png</filename><object><name>{name}</name>{box}</object></annotation>"
    _picture(folder / "set" / "a.png")
    _text(folder / "set" / "a.xml", head + body)
    return folder / "set"


def _linked(folder: Path, target: str, place: str) -> Path:
    path = _yolo(folder) / place
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return folder / "set"


def _pipe(folder: Path, place: str) -> Path:
    path = _yolo(folder) / place
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return folder / "set"


def _loops(folder: Path) -> Path:
    for name in ("one", "two"):
        (_yolo(folder) / "images" / name).symlink_to(".")
    (folder / "set" / "images" / "train" / "a.png").rename(folder / "set" / "images" / "b.png")
    return folder / "set"


def _convert(folder: Path, source: Path, target: str = "yolo") -> None:
    convert_data(source, folder / "out" / "set", None, target, "copy", None, Options(skip_missing=True))


def _zeros(path: Path) -> Path:
    """A PNG of 60,000 x 60,000 pixels that says so in its header alone."""
    _picture(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    return path


def _header(text: str) -> Header:
    known = ("classes", "category_ids", "size", "mean", "std", "pixels", "batch", "detections")
    return Header.from_text({"gluon_ssd_format": "1", "model": "m", **dict.fromkeys(known, text)}, "m.onnx")


_STATE = json.dumps({"format": 1}).encode()
# What is made in a folder and then read; each may raise UserError.
CASES: dict[str, Callable[[Path], Any]] = {
    "checkpoint: zip bomb in the state": lambda f: read_checkpoint(_bomb(f / "a.ckpt", "state.json", b"")),
    "checkpoint: zip bomb in an array": lambda f: read_checkpoint(
        _bomb(f / "a.ckpt", "a.npy", _npy("(134217728,)"), state=_STATE)
    ),
    "checkpoint: an array of a trillion numbers": lambda f: read_checkpoint(
        _zip(f / "a.ckpt", {"state.json": _STATE, "a.npy": _npy("(1000000000000,)")}, zipfile.ZIP_STORED)
    ),
    "checkpoint: deep JSON": lambda f: read_checkpoint(_zip(f / "a.ckpt", {"state.json": NEST.encode()})),
    ".pth: zip bomb": lambda f: read_weights(_bomb(f / "a.pth", "a/data.pkl", b"")),
    ".pth: a path out of the archive": lambda f: read_weights(
        _zip(f / "a.pth", {"../../data.pkl": b"N."}, zipfile.ZIP_STORED)
    ),
    "recipe: billion laughs": lambda f: Recipe.from_yaml(
        _text(
            f / "r.yaml",
            "epochs: [" + ", ".join(line.partition(": ")[2] for line in LAUGHS.split("\n")) + "]",
        )
    ),
    "recipe: a list that holds itself": lambda f: Recipe.from_yaml(_text(f / "r.yaml", "epochs: &a [*a]\n")),
    "recipe: a key of laughs": lambda f: Recipe.from_yaml(_text(f / "r.yaml", "? [a, b]\n: 1\n")),
    "recipe: deep YAML": lambda f: Recipe.from_yaml(_text(f / "r.yaml", f"epochs: {NEST}")),
    "YOLO: billion laughs": lambda f: read_dataset(_yolo(f, f"{LAUGHS}\nnames: *a11\ntrain: images"), "yolo"),
    "YOLO: a list that holds itself": lambda f: read_dataset(
        _yolo(f, "names: &a [*a]\ntrain: images"), "yolo"
    ),
    "YOLO: deep YAML": lambda f: read_dataset(_yolo(f, f"names: {NEST}"), "yolo"),
    "VOC: billion laughs": lambda f: read_dataset(
        _voc(f, f'<!DOCTYPE x [<!ENTITY l0 "lol">{ENTITIES}]>', "&l11;"), "voc"
    ),
    "VOC: an external entity": lambda f: read_dataset(
        _voc(f, f'<!DOCTYPE x [<!ENTITY l SYSTEM "file://{f}/secret">]>', "&l;"), "voc"
    ),
    "VOC: deep XML": lambda f: read_dataset(_voc(f, "", "<a>" * 100_000 + "</a>" * 100_000), "voc"),
    "COCO: deep JSON": lambda f: open_dataset(
        _text(f / "set" / "annotations" / "instances_train2017.json", NEST).parents[1]
    ),
    "LabelMe: deep JSON": lambda f: read_dataset(
        _text(f / "set" / "a.json", f'{{"imagePath": 1, "shapes": {NEST}').parent, "labelme"
    ),
    "exported file: deep metadata": lambda f: _header(NEST),
    "exported file: metadata of other types": lambda f: _header('{"a": [1]}'),
    "COCO: an image named by .., converted": lambda f: _convert(f, _coco(f, "../../../victim.png")),
    "COCO: an image with an absolute path, converted": lambda f: _convert(
        f, _coco(f, f"{f}/victim.png"), "voc"
    ),
    "YOLO: folders named by ..": lambda f: _convert(
        f, _yolo(f, "names: [cat]\ntrain: ../../../..\n"), "coco"
    ),
    "YOLO: a class named by ..": lambda f: _convert(f, _yolo(f, "names: ['../../../x']\n"), "voc"),
    "labels: a link to an endless file": lambda f: read_dataset(
        _linked(f, "/dev/zero", "labels/train/a.txt")
    ),
    "class list: a link to an endless file": lambda f: read_dataset(_linked(f, "/dev/zero", "data.yaml")),
    "image: a link to an endless file": lambda f: read_image(_linked(f, "/dev/zero", "b.png") / "b.png"),
    "labels: a pipe": lambda f: read_dataset(_pipe(f, "labels/train/a.txt")),
    "image: a pipe": lambda f: read_image(_pipe(f, "b.png") / "b.png"),
    "images: links in circles": lambda f: read_dataset(_loops(f)),
    "image: 60,000 x 60,000 pixels": lambda f: read_image(_zeros(f / "a.png")),
}


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Reads each of `CASES` once, in a process of its own, and yields one row."""
    faults = []
    for place, (name, case) in enumerate(CASES.items()):
        home = folder / f"hostile{place}"
        home.mkdir()
        fault = _alone(case, home)
        faults += [f"{name}: {fault}"] if fault else []
        shutil.rmtree(home, ignore_errors=True)
    yield Row("inputs", "files made to harm", len(CASES), len(faults), "; ".join(CASES), faults=faults)


def _alone(case: Callable[[Path], Any], home: Path) -> str | None:
    """Returns what is wrong with how a case ends, or None."""
    (home / "out").mkdir()
    (home / "work").mkdir()
    before = {path.name for path in home.iterdir()}
    pid = os.fork()
    if not pid:
        text = _outcome(case, home / "work")
        (home / "told").write_text(text)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "takes more than 10 s" if number in (signal.SIGPROF, signal.SIGALRM) else f"signal {number}"
    if extra := {path.name for path in home.iterdir()} - before - {"told"}:
        return f"wrote {extra}"
    return (home / "told").read_text() or None


def _outcome(case: Callable[[Path], Any], work: Path) -> str:
    inner = work / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "secret").write_text(SECRET)
    _picture(inner / "victim.png")
    usual = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_AS, (usual + (6 << 30),) * 2)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(6 * SECONDS)  # for what waits without working
    text = io.StringIO()
    try:
        print(case(inner), file=text)
    except UserError as error:
        print(error, file=text)
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:120]}"
    signal.setitimer(signal.ITIMER_PROF, 0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - usual
    if SECRET in text.getvalue():
        return "shows the content of another file"
    strays = [path.name for path in (*work.iterdir(), *(work / "a").iterdir()) if path.name not in "ab"]
    return f"wrote {strays}" if strays else f"took {grown >> 20} MB" if grown > MEMORY else ""
