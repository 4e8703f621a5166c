"""Every command that writes files, and what is wrong with how one has ended and what it has left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from processes import finish, trained
from verbs import CASES, NET, visible

from gluon_ssd.tensor_files.archive import read_archive

TRAIN = (
    "train --recipe ssd_tiny/smoke --max-steps 2 --checkpoint-steps 1 --batch-size 2 --data {data} "
    "--save-every 1 --limit-val 2 --output {out}/run"
)
# The command, and the files that are there before, relative to the folder of the output.
MORE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "predict": ("predict {pictures} --weights {run} --output {out}/found --save images json csv crops", ()),
    "val": ("val {run} --output {out}/val", ()),
    "check": ("check {data} --output {out}/checked", ()),
    "train": (TRAIN, ()),
}
OTHERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "predict, a video": ("predict {video} --weights {run} --output {out}/found --save images json csv", ()),
    "predict to yolo and labelme": (
        "predict {pictures} --weights {run} --output {out}/found --save yolo labelme",
        (),
    ),
    "export --format openvino": (
        "export {run} --format openvino --output {out}/m.xml",
        ("m.bin", "m.xml"),
    ),
    "export --format torch": ("export {run} --format torch --output {out}/m.py", ("m.pth", "m.py")),
    "convert-data to voc": ("convert-data {data} {out}/set --to voc --images copy", ()),
    "convert-data to openimages": ("convert-data {data} {out}/set --to openimages --images copy", ()),
    "prepare-json": ("prepare-json {data}/annotations/instances_val.json {out}/boxes.json", ("boxes.json",)),
    "report of a run": ("report {out}/run", ()),
    "report of two runs": ("report {run} {run} --output {out}/compared", ()),
    "benchmark": (
        "benchmark {run} --runtime mxnet --precision fp32 --batch-size 1 --rounds 1 "
        "--output {out}/speed.csv {out}/speed.md {out}/speed.png",
        ("speed.csv", "speed.md", "speed.png"),
    ),
    "models pull": ("models pull ssd_resnet34_1200", ()),
    "demo --data-only": ("demo --data-only {out}/shapes --images 5", ()),
    "train with all logs": (f"{TRAIN} --tensorboard --profile 2 2 --async-val --ema 0.9", ()),
}
SLOW = ("predict", "export", "benchmark", "check", "val", "train")
FILES = {
    "data": "data",
    "run": "run",
    "records": "records",
    "net": "net.ckpt",
    "weights": "net.pth",
    "video": "film.mp4",
}
# What these write is not all or nothing: pictures, pages and splits come one after the other, each whole.
IN_PARTS = ("predict", "val", "check", "train", "prepare-records", "report", "benchmark", "models")


@dataclass(frozen=True)
class Materials:
    """What the commands read, in one folder.

    It has a data set and its record files, a run on it, a network that was not trained and its weights in a
    file of PyTorch, and a video.
    """

    folder: Path

    def words(self, command: str, out: Path) -> str:
        """Returns the command that writes into ``out``."""
        places = {name: self.folder / file for name, file in FILES.items()}
        return command.format(**places, pictures=places["data"] / "val", out=out)

    def copied(self, folder: Path, but: str = "") -> Materials:
        """Returns fresh copies in ``folder`` of all, ``but`` one that stays as it is there."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in FILES.values():
            source, target = self.folder / file, folder / file
            if source.is_dir() and file != but:
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target)
            elif source.is_file():
                shutil.copyfile(source, target)
        return Materials(folder)

    def prepare(self, command: str, before: tuple[str, ...], out: Path) -> None:
        """Makes an empty ``out`` and puts there what the command finds there."""
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for file in before:
            (out / file).write_bytes(b"before")
        if command.startswith("report {out}"):
            shutil.copytree(self.folder / "run", out / "run")


def materials(folder: Path) -> Materials:
    """Makes what the commands read in ``folder``."""
    from gluon_ssd.data.images import read_image
    from gluon_ssd.data.video import VideoWriter

    made = Materials(folder)
    data, _ = trained(folder)
    with VideoWriter(folder / FILES["video"], 10) as writer:
        pixels = read_image(sorted((data / "val").iterdir())[0])
        for _ in range(4):
            writer.write(pixels)
    # A mirror for `models pull`; of that file no digest is published, so that any weights will do.
    os.environ["GLUON_SSD_MIRROR"] = str(folder / "mirror")
    commands = ("convert {net} {weights}", "prepare-records {data} {records} --shards 2")
    verbs = [["-m", "gluon_ssd", *made.words(command, folder).split()] for command in commands]
    for arguments in [["-c", NET, folder / FILES["net"]], *verbs]:
        status, text = finish(arguments, folder / "made.log")
        if status:
            raise RuntimeError(text)
    (folder / "mirror").mkdir()
    shutil.copyfile(folder / FILES["weights"], folder / "mirror" / "resnet34-ssd1200.pytorch")
    return made


def all_cases() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Returns every writing command with the files that are there before, by its name; the slow ones last."""
    cases = {**CASES, **MORE, **OTHERS}
    return dict(sorted(cases.items(), key=lambda row: row[0].split()[0].strip(",") in SLOW))


def wrong(
    name: str, status: int, text: str, before: tuple[str, ...], out: Path, usual: int = 2
) -> Iterator[str]:
    """Yields what is wrong with how a command has ended, where something made it fail, and what it left."""
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    if status and (status != usual or len(errors) != 1 or "Traceback" in text):
        yield f"status {status} and {len(errors)} lines of error: {text.strip()[-1500:]}"
    if any(word in error for error in errors for word in (".partial", ".tmp")):
        yield f"tells of a file that the user does not know: {errors}"
    # onnxruntime keeps that file for its next session.
    left = [str(path.relative_to(out)) for path in out.rglob("*") if _is_left(path) and path.name != ".ses"]
    if left:
        yield f"left behind: {left}"
    if status and not name.startswith(IN_PARTS) and visible(out) != dict.fromkeys(before, b"before"):
        yield f"what was there before has changed: {sorted(visible(out))}"
    yield from torn(out, before)


def _is_left(path: Path) -> bool:
    return path.name.startswith(".") or path.parent.name == "tmp"


def torn(out: Path, before: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the files that are not whole."""
    for path in sorted(out.rglob("*")):
        if not path.is_file() or path.name in before or _is_left(path):
            continue
        try:
            _open(path)
        except Exception as error:
            yield f"{path.relative_to(out)} is not whole: {error!r}"


def _open(path: Path) -> None:
    if path.suffix == ".ckpt":
        read_archive(path)
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".html" and not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        raise ValueError("the page ends in the middle")
    elif path.suffix in (".jpg", ".png"):
        with Image.open(path) as picture:
            picture.load()
