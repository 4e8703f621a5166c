"""Gives one reader damaged files until it has had so many: `worker.py READER FIRST COUNT SEED FOLDER`.

Each file comes from a sound one, or from a damaged one that has led to lines which no file had reached
before. A line of JSON on standard output tells of each fault, and one at the end of how many files were read.
The process ends by SIGPROF where a file takes more than 10 seconds of its time.
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from mutate import mutate  # noqa: E402
from readers import READERS  # noqa: E402

import gluon_ssd  # noqa: E402
from gluon_ssd.errors import UserError  # noqa: E402

SECONDS = 10
# Bytes that reading may take: this, four times the file, and for images what their pixels may be.
CONSTANT = 96 << 20
# What a file must not lead to. Reading writes nothing, starts nothing and asks nobody.
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect")
CHANGES = (
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "shutil.",
)
PACKAGE = str(Path(gluon_ssd.__file__).parent)


class Watch:
    """Sees what the process does while ``on`` is set: what a reader must not do, and lines of the package."""

    def __init__(self) -> None:
        self.on, self.found, self.lines = False, "", set()
        sys.addaudithook(self._event)

    @contextlib.contextmanager
    def reading(self, traced: bool) -> Iterator[None]:
        self.on, self.found, self.lines = True, "", set()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        sys.settrace(self._call if traced else None)
        try:
            yield
        finally:
            sys.settrace(None)
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.on = False

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if writes or event in FORBIDDEN or event.startswith(CHANGES):
            self.found = f"{event} {arguments[:1]}"

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.lines.add((frame.f_code, frame.f_lineno))
        return self._line


def main(name: str, first: int, count: int, seed: int, folder: Path) -> None:
    reader, watch = READERS[name], Watch()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = reader.make(folder)
    reader.read(folder)
    sound = {path: reader.inner(path) for path in files}
    corpus = {path: [content] for path, content in sound.items()}
    seen: set[Any] = set()
    usual = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_AS, (usual + (4 << 30),) * 2)
    faults: set[str] = set()
    for number in range(first, count):
        rng = random.Random(f"{seed} {name} {number}")
        path = rng.choice(files)
        inner = mutate(rng.choice(corpus[path]), corpus[path], rng)
        data = reader.mend(inner)
        path.write_bytes(data)
        # The file of a process that does not survive it is still there.
        (folder.parent / "now").write_text(json.dumps({"number": number, "file": str(path)}))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        # Lines are looked at for one file in three, because that is slow.
        fault = _read(reader.read, folder, watch, traced=number % 3 == 0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        if fault is None and grown > CONSTANT + 4 * len(data):
            fault = f"{grown >> 20} MB for a file of {len(data)} bytes"
        if fault and fault not in faults:
            faults.add(fault)
            kept = folder.parent / f"find{number}{path.suffix}"
            kept.write_bytes(data)
            print(json.dumps({"fault": fault, "number": number, "kept": str(kept)}), flush=True)
        if watch.lines - seen and fault is None and len(data) < 1 << 16:
            seen |= watch.lines
            corpus[path].append(inner)
        path.write_bytes(reader.mend(sound[path]))
    print(
        json.dumps({"done": count - first, "lines": len(seen), "corpus": sum(map(len, corpus.values()))}),
        flush=True,
    )


def _read(read: Any, folder: Path, watch: Watch, traced: bool) -> str | None:
    """Returns what is wrong with how a file was read, or None."""
    try:
        with watch.reading(traced):
            read(folder)
    except UserError:
        return watch.found or None
    except BaseException as error:
        where = [row for row in traceback.extract_tb(error.__traceback__) if row.filename.startswith(PACKAGE)]
        last = where[-1] if where else None
        place = f"{Path(last.filename).relative_to(PACKAGE)}:{last.lineno}" if last else "outside"
        return f"{type(error).__name__} at {place}: {str(error)[:120]}"
    return watch.found or None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
