"""Steps of one and of two processes on this machine, joined as `gluon-ssd train` joins them."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable

WARMUP, EXCHANGES = 3, 5


def worker(model: str, batch: int, steps: int) -> None:
    """One process of a run: rank 0 prints the median seconds of a step and of an exchange alone, as JSON.

    ``processor``: the processor time of a step, of all threads of the process; others do not disturb it much.
    """
    import gluon_ssd
    from gluon_ssd.training.distributed import connect
    from gluon_ssd.training.step import TrainStep

    world = connect()
    import mxnet as mx
    from train_step import objects

    net = gluon_ssd.get_model(model)
    step = TrainStep(net, net.loss(), world=world)
    height, width = net.input_size
    images = mx.nd.random.uniform(-2, 2, (batch, 3, height, width))
    targets = [mx.nd.array(array) for array in net.target_encoder()(*objects(batch))]
    train = [timed(lambda: step(images, targets, 1e-4)) for _ in range(WARMUP + steps)]
    gradients = [param.grad() for param in net.collect_params().values() if param.grad_req != "null"]
    names = [f"measured.{place}" for place in range(len(gradients))]
    exchange = [timed(lambda: world.allreduce(gradients, names)) for _ in range(1 + EXCHANGES)]
    if world.first:
        sent = sum(gradient.size for gradient in gradients) * 4
        found = {"bytes": sent, "exchange": statistics.median(seconds for seconds, _ in exchange[1:])}
        for place, name in enumerate(("step", "processor")):
            found[name] = statistics.median(times[place] for times in train[WARMUP:])
        print("measured " + json.dumps(found), flush=True)
    world.barrier()


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of ``work`` until MXNet has nothing left to do: those that passed, and the processor's."""
    import mxnet as mx

    mx.nd.waitall()
    start = time.perf_counter(), time.process_time()
    work()
    mx.nd.waitall()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def launch(processes: int, threads: int, batch: int, model: str, steps: int) -> dict[str, float]:
    """Starts a run with ``batch`` images in each process; returns what its rank 0 measured."""
    root = Path(__file__).resolve().parents[1]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    env["PYTHONPATH"] = os.pathsep.join([str(root), env.get("PYTHONPATH", "")])
    beside = Path(sys.executable).with_name("horovodrun")
    horovodrun = str(beside) if beside.exists() else shutil.which("horovodrun")
    if horovodrun is None:
        raise SystemExit("error: horovodrun is not installed; make distributed")
    command = [horovodrun, "--gloo", "-np", str(processes), sys.executable, __file__]
    options = ["--model", model, "--batch-size", str(batch), "--steps", str(steps)]
    done = subprocess.run([*command, *options], env=env, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if "measured {" in line]
    if done.returncode or not lines:
        raise SystemExit(f"error: {processes} processes failed: {(done.stderr or done.stdout)[-800:]}")
    found: dict[str, float] = json.loads(lines[0].split("measured ", 1)[1])
    return found


def launch_apart(processes: int, threads: int, batch: int, model: str, steps: int) -> dict[str, float]:
    """`launch` of ``processes`` runs of one process at the same time; returns what the slowest measured."""
    with ThreadPoolExecutor(processes) as pool:
        runs = [pool.submit(launch, 1, threads, batch, model, steps) for _ in range(processes)]
        return max((run.result() for run in runs), key=lambda found: found["step"])


def measure(model: str, batch: int, steps: int, rounds: int) -> None:
    """Prints the steps of one and of two processes that share the cores, and what the model says of them.

    All train on ``batch`` images per step: one process on all cores ("all"), one on its share of them where
    two run ("one"), and two on a share each ("two"). What each of those two computes is measured by two that
    run at the same time and know nothing of each other ("apart"), for they share caches and memory as well:
    the model adds the exchange to it. In turn, ``rounds`` times.
    """
    from gluon_ssd.machine import cores

    share, half = cores() // 2, batch // 2
    if share < 1 or batch % 2:
        raise SystemExit("error: needs two cores and an even --batch-size")
    runs = {"all": (1, 2 * share, batch), "one": (1, share, batch)}
    runs.update(apart=(2, share, half), two=(2, share, half))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, (processes, threads, images) in runs.items():
            start = launch_apart if name == "apart" else launch
            found[name].append(start(processes, threads, images, model, steps))
        last = ", ".join(f"{name} {1000 * values[-1]['step']:.0f}" for name, values in found.items())
        print(f"  round {number + 1}, ms per step: {last}", flush=True)
    print(f"{model}, medians of {rounds} rounds; whatever else runs on this machine disturbs them")
    for name, (processes, threads, images) in runs.items():
        step, busy = (
            1000 * statistics.median(run[key] for run in found[name]) for key in ("step", "processor")
        )
        print(
            f"  {name:5} {processes} x {images} images, {threads} threads each: {step:4.0f} ms per step, "
            f"processor time {busy:4.0f} ms each"
        )
    report(found)


def report(found: dict[str, list[dict[str, float]]]) -> None:
    """Prints the exchange, and the ratios of two processes to one: medians of those of each round."""
    exchange = statistics.median(run["exchange"] for run in found["two"])
    sent = found["two"][0]["bytes"]
    print(f"  exchange of {sent / 1e6:.1f} MB: {1000 * exchange:.0f} ms, {sent / exchange / 1e9:.2f} GB/s")
    predicted = [apart["step"] + two["exchange"] for apart, two in zip(found["apart"], found["two"])]
    for base in ("one", "all"):
        bases = [run["step"] for run in found[base]]
        for name, steps in (("measured", [run["step"] for run in found["two"]]), ("model", predicted)):
            ratios = sorted(step / basis for step, basis in zip(steps, bases))
            spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
            print(f"  two / {base}, {name}: {statistics.median(ratios):.2f} ({spread})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    args = parser.parse_args()
    worker(args.model, args.batch_size, args.steps)


if __name__ == "__main__":
    main()
