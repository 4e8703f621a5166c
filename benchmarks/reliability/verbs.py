"""Every other command, killed: what it wrote is as before or complete, and the next call completes it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from processes import finish, start, trained
from results import REPOSITORY, Row
from servers import kill_servers
from signals import DECK, stop

HOOKS = REPOSITORY / "benchmarks" / "reliability" / "hooks"
# The command, and the files that are there before, relative to the folder of the output.
CASES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "export --format onnx": ("export {run} --format onnx --detections --output {out}/m.onnx", ("m.onnx",)),
    "export --format symbol": (
        "export {run} --format symbol --output {out}/m",
        ("m-symbol.json", "m-0000.params"),
    ),
    "convert to .pth": ("convert {net} {out}/m.pth", ("m.pth",)),
    "convert to .safetensors": ("convert {net} {out}/m.safetensors", ("m.safetensors",)),
    "convert to .ckpt": ("convert {net} {out}/m.ckpt", ("m.ckpt",)),
    "convert-data to yolo": ("convert-data {data} {out}/set --to yolo --images copy", ()),
    "convert-data to coco": ("convert-data {data} {out}/set --images copy", ()),
    "prepare-records, recordio": ("prepare-records {data} {out}/set --shards 2", ()),
    "prepare-records, tfrecord": ("prepare-records {data} {out}/set --shards 2 --format tfrecord", ()),
}
State = Mapping[str, bytes]
# Writes the checkpoint of a network that has not been trained, which has a twin in PyTorch.
NET = """
import sys
from gluon_ssd import get_model
from gluon_ssd.weights.checkpoint import save_checkpoint
save_checkpoint(sys.argv[1], get_model("ssdlite320_mobilenet_v3_large", ["a", "b"]))
"""


def measure(
    count: int, seed: int, folder: Path, jobs: int = 1, case: str = "", signals: Sequence[str] = DECK
) -> Iterator[Row]:
    """Kills each command its share of ``count`` times, besides every moment before a file operation.

    ``jobs`` commands run at a time. ``case``: only commands with that in their name.
    """
    data, run = trained(folder)
    net = folder / "net.ckpt"
    status, text = finish(["-c", NET, net], folder / "net.log")
    if status:
        raise RuntimeError(text)
    share = -(-count // (len(CASES) + 1))
    with ThreadPoolExecutor(jobs) as pool:
        rows = []
        for place, (name, (command, before)) in enumerate(CASES.items()):
            words = [word.format(run=run, net=net, data=data, out="{out}") for word in command.split()]
            rng = random.Random(f"{seed} {name}")
            if case in name:
                one = Case(name, words, before, folder / f"case{place}", rng, signals)
                rows.append(pool.submit(one.row, share))
        if case in "serve, two workers":
            rows.append(pool.submit(kill_servers, run, folder, share, random.Random(seed), signals))
        for row in rows:
            yield row.result()


class Case:
    """One command, with the files that are there before it writes."""

    def __init__(
        self,
        name: str,
        words: list[str],
        before: tuple[str, ...],
        folder: Path,
        rng: random.Random,
        signals: Sequence[str],
    ) -> None:
        self.name, self._words, self._folder, self._rng = name, words, folder, rng
        self._signals = signals
        self._before = dict.fromkeys(before, b"what was there before")
        folder.mkdir()

    def row(self, count: int) -> Row:
        faults: list[str] = []
        whole = self._fresh("whole")
        copies = self._folder / "copies"
        variables = {
            "RELIABILITY_WATCH": str(whole),
            "RELIABILITY_COPIES": str(copies),
            "PYTHONPATH": f"{HOOKS}:{REPOSITORY}",
        }
        running = start(self._command(whole), self._folder / "whole.log", variables)
        while running.works(1e9):
            pass
        status, text, after = running.process.returncode, running.text(), visible(whole)
        if status or len(after) < len(self._before):
            return Row("kills", self.name, 0, 1, faults=[text[-800:]])
        moments = sorted(copies.iterdir()) if copies.is_dir() else []
        faults += [f"{self.name}, operation {m.name}: {f}" for m in moments if (f := self._mixed(m, after))]
        kills = 0
        while kills < count:
            killed, found = self._kill(self._rng.uniform(0.3, 1) * running.seconds(), after)
            kills += killed
            faults += [f"{self.name}: {fault}" for fault in found]
        note = f"{kills} kills at random, {len(moments)} moments before a file operation"
        return Row("kills", self.name, kills + len(moments), len(faults), note, faults=faults)

    def _fresh(self, name: str) -> Path:
        place = self._folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for file, content in self._before.items():
            (place / file).write_bytes(content)
        return place

    def _command(self, place: Path) -> list[object]:
        return ["-m", "gluon_ssd", *(word.format(out=place) for word in self._words)]

    def _mixed(self, place: Path, after: State) -> str | None:
        """Returns what is neither as before nor as after; a set that lacks files is not one that is mixed."""
        found = visible(place)
        if found in (dict(self._before), after):
            return None
        # Old files may go before the new ones come, but the one that names the others comes last.
        leads = [name for name in found if _leads(name)]
        needed = {name for lead in leads for name in after if _belongs(name, lead)}
        states = (after,) if leads else (after, self._before)
        known = all(any(content == state.get(name) for state in states) for name, content in found.items())
        if known and found.keys() >= needed:
            return None
        return f"a mixture of before and after: {sorted(found)}"

    def _kill(self, limit: float, after: State) -> tuple[int, list[str]]:
        place, number = self._fresh("place"), self._rng.choice(self._signals)
        running = start(self._command(place), self._folder / "kill.log")
        if not running.works(limit):
            return 0, [] if running.process.returncode == 0 else [running.text()[-800:]]
        faults = [stop(running, number, self._rng), self._mixed(place, after)]
        if visible(place) != after or _hidden(place):
            retry = [*self._command(place), *(["--overwrite"] if "prepare-records" in self._words else [])]
            if visible(place) == after and "convert-data" in self._words:
                retry = ["-c", ""]
            status, text = finish(retry, self._folder / "retry.log")
            faults.append(f"after {number} the command fails: {text[-800:]}" if status else None)
            faults.append("the command does not complete what was begun" if visible(place) != after else None)
            faults.append(f"left behind: {left}" if (left := _hidden(place)) else None)
        return 1, [fault for fault in faults if fault]


def visible(place: Path) -> State:
    """Returns the files that are not hidden and are in no hidden folder, with their content."""
    files = {path.relative_to(place): path for path in place.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in sorted(files.items()) if not _is_hidden(name)}


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _hidden(place: Path) -> list[str]:
    return [str(path.relative_to(place)) for path in place.rglob(".*")]


def _leads(name: str) -> bool:
    """Returns whether a file is the one that a reader opens first, which tells where the others are."""
    return name.endswith(("-symbol.json", ".onnx")) or "records_" in name


def _belongs(name: str, lead: str) -> bool:
    """Returns whether a file is read together with ``lead``. Each split of record files has its own."""
    split = Path(lead).stem.partition("records_")[2]
    return Path(name).name.startswith(f"{split}-") if split else True
