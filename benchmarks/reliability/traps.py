"""Builds the files and folders that were made to harm; see `hostile`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from gluon_ssd.cli import main
from gluon_ssd.data.formats.conversion import convert_data
from gluon_ssd.data.formats.model import Options

NEST = "[" * 100_000
LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
ENTITIES = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
# Ways to another file than the one beside the labels. The folder of the case is three folders further up.
OUTSIDE = (
    *("../../victim.png", "../../../victim.png", "{folder}/victim.png", "..\\..\\victim.png", "/etc/passwd"),
)
# What terminals obey, what browsers run, and what leads out of a folder.
NAMES = (
    *("\x1b[2J\x1b]0;gone\x07", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><b>"),
    *("../../stray", "/stray", "..", ".", "a/b\\c", "CON", "x" * 300, "a\nb", "a,b\r", " ", "\u202eknp"),
    *("{{ 7 * 7 }}", "[/red]", "%s%n", "\ufeffcat", "=1+1", "\x00"),
)


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def bomb(path: Path, name: str, start: bytes, **more: bytes) -> Path:
    """A zip file of 3 MB with 512 MB in one member, behind the members ``more``."""
    packed(path, {f"{key}.json": content for key, content in more.items()})
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w") as file,
    ):
        file.write(start)
        for _ in range(32):
            file.write(b" " * (1 << 24))
    return path


def npy(shape: str) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode()


def text(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def picture(path: Path, width: int = 64, height: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    return path


def coco(folder: Path, name: str = "a.png", kind: str = "cat") -> Path:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 30]}
    images = [{"id": 1, "file_name": name, "width": 64, "height": 48}]
    content = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": kind}]}
    picture(folder / "set" / "train2017" / "a.png")
    text(folder / "set" / "annotations" / "instances_train2017.json", content)
    return folder / "set"


def yolo(folder: Path, yaml: str = "names: [cat]\ntrain: images/train\n") -> Path:
    picture(folder / "set" / "images" / "train" / "a.png")
    text(folder / "set" / "labels" / "train" / "a.txt", "0 0.5 0.5 0.2 0.2\n")
    text(folder / "set" / "data.yaml", yaml)
    return folder / "set"


def voc(folder: Path, head: str = "", kind: str = "cat", name: str = "a.png") -> Path:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>"
    body = f"<annotation><filename>{name}</filename><object><name>{kind}</name>{box}</object></annotation>"
    picture(folder / "set" / "a.png")
    text(folder / "set" / "a.xml", head + body)
    return folder / "set"


def beside(folder: Path, file: str, content: Any) -> Path:
    """A folder of one picture and one file of labels."""
    picture(folder / "set" / "a.png")
    text(folder / "set" / file, content)
    return folder / "set"


def labelme(folder: Path, name: str) -> Path:
    shape = {"label": "cat", "points": [[1, 2], [30, 30]], "shape_type": "rectangle"}
    return beside(folder, "a.json", {"imagePath": name, "shapes": [shape]})


def table(folder: Path, name: str) -> Path:
    head = "filename,width,height,class,xmin,ymin,xmax,ymax"
    return beside(folder, "labels.csv", f'{head}\n"{name}",64,48,cat,3,4,30,40\n')


def via(folder: Path, name: str) -> Path:
    shape = {"name": "rect", "x": 3, "y": 4, "width": 20, "height": 10}
    region = {"shape_attributes": shape, "region_attributes": {"type": "cat"}}
    return beside(folder, "via.json", {"a": {"filename": name, "size": 1, "regions": [region]}})


def openimages(folder: Path, name: str) -> Path:
    head = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"
    row = f"{name},x,/m/01,1,0.1,0.5,0.1,0.5,0,0,0,0,0"
    picture(folder / "set" / "train" / "a.png")
    text(folder / "set" / "class-descriptions-boxable.csv", "/m/01,cat\n")
    text(folder / "set" / "train-annotations-bbox.csv", f"{head},IsDepiction,IsInside\n{row}\n")
    return folder / "set"


def darknet(folder: Path, name: str) -> Path:
    text(folder / "set" / "obj.names", "cat\n")
    text(folder / "set" / "train.txt", f"{name}\n")
    text(folder / "set" / "a.txt", "0 0.5 0.5 0.2 0.2\n")
    return beside(folder, "obj.data", "classes = 1\ntrain = train.txt\nnames = obj.names\n")


# By format: a data set whose one image has a name.
SETS: dict[str, Callable[[Path, str], Path]] = {
    **{"coco": coco, "voc": lambda folder, name: voc(folder, name=name), "labelme": labelme, "tf_csv": table},
    **{"via": via, "openimages": openimages, "darknet": darknet},
    "yolo": lambda folder, name: text(yolo(folder, "names: [cat]\ntrain: l.txt\n") / "l.txt", name).parent,
}


def convert(folder: Path, source: Path, target: str = "yolo", kind: str | None = None) -> Path:
    new = folder / "out" / f"to_{target}"
    convert_data(source, new, kind, target, "copy", None, Options(skip_missing=True))
    assert {path.name for path in new.parent.iterdir()} == {new.name}, f"wrote beside {new}"
    return new


def command(*words: object) -> str:
    """Runs the command line, and returns what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = main([str(word) for word in words])
    assert status in (0, 1, 2), f"status {status}"
    return printed.getvalue()


def linked(folder: Path, target: str, place: str) -> Path:
    path = yolo(folder) / place
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return folder / "set"


def pipe(folder: Path, place: str) -> Path:
    path = yolo(folder) / place
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return folder / "set"
