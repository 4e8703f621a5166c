"""A training, the prediction of a video and a server that go on for long, and what they take meanwhile."""

from __future__ import annotations

import random
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from processes import GRACE, PATIENCE, Running, start, trained
from results import Row
from samples import store
from servers import free_port
from usage import growing, summary, watch

# More frames than are read in a second, so that the video does not end before the watch.
FRAMES = 150


def measure(minutes: float, seed: int, folder: Path, case: str = "") -> Iterator[Row]:
    """Watches each of `CASES` with ``case`` in its name for ``minutes``, and yields its row."""
    data, run = trained(folder)
    for name in [name for name in CASES if case in name]:
        home = folder / name.split()[0]
        (home / "tmp").mkdir(parents=True)
        running, done = CASES[name](data, run, home, minutes)
        samples = list(watch(running, home / "tmp", minutes))
        faults = [*growing(samples), *_end(running)]
        store(name, samples)
        note = f"{samples[-1].seconds / 60:.0f} minutes, {done()}; {summary(samples)}"
        yield Row("long", name, 1, len(faults), note, faults=faults)


def _end(running: Running) -> Iterator[str]:
    """Interrupts a command; yields what is wrong with how it ends."""
    running.send(signal.SIGINT)
    if not running.wait(PATIENCE):
        yield f"goes on {PATIENCE:.0f} s after SIGINT"
    if running.process.returncode not in (0, 130):
        yield f"ended with status {running.process.returncode}: {running.text()[-800:]}"
    if running.survivors():
        yield f"a process is there {GRACE:.0f} s after its end"


Begun = tuple[Running, Callable[[], str]]


def _begin(words: str, home: Path) -> Running:
    return start(["-m", "gluon_ssd", *words.split()], home / "log", {"TMPDIR": str(home / "tmp")})


def _train(data: Path, run: Path, home: Path, minutes: float) -> Begun:
    flags = (
        "--epochs 1000000 --max-steps none --batch-size 2 --eval-batch-size 2 --eval-every 1 --log-every 1 "
        "--checkpoint-steps 2 --lr 0.001 --decay-epochs 900000 --ema 0.9"
    )
    running = _begin(f"train --recipe ssd_tiny/smoke {flags} --data {data} --output {home}/run", home)
    rows = home / "run" / "metrics.csv"
    return running, lambda: f"{len(rows.read_text().splitlines()) - 1:,} epochs, each evaluated"


def _predict(data: Path, run: Path, home: Path, minutes: float) -> Begun:
    video(home / "street.mp4", int(minutes * 60 * FRAMES))
    flags = f"--weights {run} --output {home}/out --score-threshold 0.05 --save images json csv"
    running = _begin(f"predict {home}/street.mp4 {flags}", home)
    table = home / "out" / "detections.csv"

    def done() -> str:
        last = table.read_text().splitlines()[-1]
        return f"{int(last.split(',')[1]) + 1:,} frames"

    return running, done


def video(path: Path, frames: int) -> None:
    """Writes a video of 128 x 96 pixels in which a square moves."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (128, 96))
    for number in range(frames):
        picture = np.full((96, 128, 3), 90, np.uint8)
        picture[30:60, number % 98 : number % 98 + 30] = (20, 200, 40)
        writer.write(picture)
    writer.release()


def _serve(data: Path, run: Path, home: Path, minutes: float) -> Begun:
    port = free_port()
    running = _begin(f"serve {run} --port {port} --no-access-log", home)
    pictures = [path.read_bytes() for path in sorted((data / "train").iterdir())]
    counts = [0, 0]
    for number in range(2):
        client = _client(running, port, pictures, random.Random(number), counts)
        threading.Thread(target=client, daemon=True).start()
    return running, lambda: f"{counts[0]:,} requests answered, {counts[1]:,} damaged images refused"


def _client(
    running: Running, port: int, pictures: Sequence[bytes], rng: random.Random, counts: list[int]
) -> Callable[[], None]:
    """Returns what asks without a pause while the server runs; one picture in twenty is damaged."""

    def ask() -> None:
        while running.process.poll() is None:
            picture = rng.choice(pictures)
            body = picture[: rng.randrange(40)] if rng.random() < 0.05 else picture
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/detect", body, timeout=60) as answer:
                    answer.read()
                counts[0] += 1
            except urllib.error.HTTPError as error:
                error.close()
                counts[1] += error.code == 422
            except OSError:
                # It does not listen yet.
                time.sleep(0.1)

    return ask


CASES: Mapping[str, Callable[[Path, Path, Path, float], Begun]] = {
    "training": _train,
    "prediction of a video": _predict,
    "serving": _serve,
}
