"""How near running comes to the bare network, in ratios of two things run in turn.

    python benchmarks/runtimes.py photos/ [--runtime openvino] [--batch-size 1 8] [--rounds 5]

For ssd_resnet34 with 80 classes and scores like a trained network's (some 500 pairs of box and class above
0.05 per image), in float32 and int8: post-processing inside the exported graph against raw outputs; from
image files to detections against the graph alone, where reading overlaps with the network; and
``gluon-ssd predict``, which also opens the file, draws and writes pictures, against that. What is compared
is the processor time of all threads, which other programs hardly change; on a machine whose cores are all
busy its ratio is that of images per second. Ratios of wall time are printed beside it. A ratio of 1 is the
bare network.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from inference import calibrate, set_scores

FILES = ("raw", "detections")


def compare(name: str, images: int, work: Callable[[], Any], bare: Callable[[], Any], rounds: int) -> None:
    """Prints the ratio of the processor time of ``bare`` to that of ``work``, the median of some pairs."""
    rows = []
    for _ in range(rounds + 1):
        times = []
        for one in (work, bare):
            start, cpu = time.perf_counter(), time.process_time()
            one()
            times.append((time.process_time() - cpu, time.perf_counter() - start))
        rows.append([their / our for our, their in zip(*times)])
    cpu_ratio, wall = (statistics.median(column) for column in zip(*rows[1:]))
    each = 1000 * times[0][0] / images
    print(f"  {name:52} {cpu_ratio:5.3f}   wall time {wall:5.3f}   {each:6.1f} ms CPU per image", flush=True)


def trained_like(paths: Sequence[Path]) -> Any:
    """Returns ssd_resnet34 with scores like a trained network's on these images."""
    import gluon_ssd
    import mxnet as mx  # isort: skip  after gluon_ssd, which sets the threads

    net = gluon_ssd.get_model("ssd_resnet34")
    factor, shift = calibrate(net(mx.nd.array(inputs_of(gluon_ssd.Detector(net), paths)))[0].asnumpy())
    channels = [boxes * 81 for boxes in net.default_boxes.per_cell]
    set_scores([predictor.conv for predictor in net.predictors], channels, factor, shift)
    return net


def inputs_of(detector: Any, paths: Sequence[Path]) -> np.ndarray:
    """Returns images as one batch of inputs."""
    from gluon_ssd.data.images import rgb_pixels

    return detector.prepare([rgb_pixels(path) for path in paths])


def export(net: Any, folder: Path, paths: Sequence[Path]) -> None:
    """Writes the four files that are compared."""
    from gluon_ssd.export import to_onnx

    for precision in ("fp32", "int8"):
        options = {"precision": "int8", "calibration": paths} if precision == "int8" else {}
        for kind in FILES:
            path, asked = folder / f"{precision}-{kind}.onnx", kind == "detections"
            to_onnx(net, path, prove=False, detections=asked, **options)


def run(folder: Path, precision: str, batch: int, runtime: str, paths: list[Path], rounds: int) -> None:
    """Prints the three ratios of one precision and batch size."""
    from gluon_ssd import Detector
    from gluon_ssd.cli import main as command
    from gluon_ssd.runtimes.sessions import open_session

    files = [folder / f"{precision}-{kind}.onnx" for kind in FILES]
    raw, whole = (open_session(runtime, file) for file in files)
    start = time.process_time()
    detector = Detector(files[1], runtime=runtime, batch_size=batch, score_threshold=0.3)
    opening = 1000 * (time.process_time() - start)
    inputs = inputs_of(detector, paths)

    def through(session: Any) -> None:
        for start in range(0, len(inputs), batch):
            session.run(inputs[start : start + batch])

    def predict() -> None:
        given = ["--weights", files[1], "--runtime", runtime, "--batch-size", batch]
        with tempfile.TemporaryDirectory() as output, contextlib.redirect_stdout(io.StringIO()):
            status = command([str(one) for one in ("predict", *paths, *given, "--output", output)])
        assert status == 0

    network, graph, from_files = partial(through, raw), partial(through, whole), partial(detector, paths)
    print(f"{runtime} {precision}, batch {batch}, {len(paths)} images; opening: {opening:.0f} ms CPU")
    count = len(paths)
    compare("graph with detections / raw outputs", count, graph, network, rounds)
    compare("Detector on files / graph with detections", count, from_files, graph, rounds)
    compare("gluon-ssd predict / Detector on files", count, predict, from_files, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="folder of photos")
    parser.add_argument("--count", type=int, default=32, help="how many of them")
    parser.add_argument("--runtime", default="openvino", choices=("openvino", "onnxruntime"))
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8"], choices=("fp32", "int8"))
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    paths = sorted(args.images.rglob("*.jpg"))[: args.count]
    with tempfile.TemporaryDirectory() as folder:
        export(trained_like(paths[:8]), Path(folder), paths[:8])
        for precision in args.precision:
            for batch in args.batch_size:
                run(Path(folder), precision, batch, args.runtime, paths, args.rounds)


if __name__ == "__main__":
    main()
