"""How trainings scale: a model on paper, held against published logs and against this machine.

    python benchmarks/scaling.py                      # the tables of docs/scaling.md; --write puts them there
    python benchmarks/scaling.py --measure            # one and two processes on this machine, in turn

docs/scaling.md explains the formula. Every constant below names its source; LOGS has the published numbers.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from scaling_logs import LOGS, Log

DOC = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- scaling -->", "<!-- /scaling -->"
BACKWARD = 2  # a backward pass computes two products for each of the forward pass: by inputs and by weights
TENSOR_PEAK = 312e12  # operations/s of an A100 in float16 without sparsity: NVIDIA's data sheet
# Images/s that one core prepares for SSD: half of what two measured (610; docs/data-pipelines.md has
# newer numbers). For RetinaNet not measured.
CORE_IMAGES = {"ssd_resnet34": 305.0}


@dataclass(frozen=True)
class Machine:
    """A machine with ``gpus`` of one kind and what joins them.

    ``link``: bytes/s from one GPU to the others, one way; ``network``: bytes/s out of the machine. ``hop``:
    seconds per hop inside a machine, ``far_hop`` between machines, ``call`` per collective: those of a tree
    (LL128) in NCCL's own cost model, src/graph/tuning.cc at 01afd20a. ``cores``: processor cores per GPU.
    """

    gpus: int
    link: float
    network: float
    hop: float
    cores: int
    far_hop: float = 8.5e-6
    call: float = 4.4e-6


# training_results_v1.1, NVIDIA/systems/dgxa100_n128_ngc21.09_mxnet.json: NVLink 600 GB/s, which counts both
# ways; 8 ConnectX-6 with 200 Gb/s each; 2 processors of 64 cores for 8 GPUs.
DGX_A100 = Machine(gpus=8, link=300e9, network=8 * 25e9, hop=1.2e-6, cores=16)
# training_results_v1.1, Fujitsu/systems/gx_A100x4_mxnet_NGC_21.09.json: PCIe 4.0 x16, by the standard 31.5
# GB/s one way; one machine, 64 cores for 4 GPUs.
PRIMERGY = Machine(gpus=4, link=31.5e9, network=0.0, hop=1.9e-6, cores=16)
MACHINES = {"DGX A100": DGX_A100, "PRIMERGY GX2460": PRIMERGY}


@dataclass(frozen=True)
class Task:
    """A network and its data: what a step computes and sends, and what the rest of a training costs.

    ``flop``: operations of a forward pass of one image. ``parameters``: trained ones. ``bytes_each``: per
    gradient. ``start``, ``closing``: seconds before the first epoch, and from the last one to the end.
    """

    model: str
    flop: float
    parameters: int
    bytes_each: int
    images: int
    val_images: int
    every: int
    start: float
    closing: float

    @property
    def gradient_bytes(self) -> int:
        return self.parameters * self.bytes_each

    @property
    def training_flop(self) -> float:
        """Operations of a training step per image: forward and backward."""
        return (1 + BACKWARD) * self.flop


def tasks() -> dict[str, Task]:
    """SSD and RetinaNet of MLPerf, with what `model_zoo/profile.py` counts.

    NVIDIA's SSD keeps parameters and gradients in float16; PyTorch's mixed precision keeps them in float32.
    Start and closing are the medians of the logs: RetinaNet trains on while the last evaluation is scored.
    """
    from gluon_ssd.model_zoo.profile import profile_model

    ssd, retinanet = profile_model("ssd_resnet34"), profile_model("retinanet_resnext50_32x4d")
    found = (
        Task(
            "ssd_resnet34",
            1e9 * ssd.gflops,
            ssd.trained,
            bytes_each=2,
            images=117266,
            val_images=5000,
            every=5,
            start=1.2,
            closing=0.0,
        ),
        Task(
            "retinanet_resnext50_32x4d",
            1e9 * retinanet.gflops,
            retinanet.trained,
            bytes_each=4,
            images=1170301,
            val_images=24781,
            every=1,
            start=0.9,
            closing=18.2,
        ),
    )
    return {task.model: task for task in found}


@dataclass(frozen=True)
class Speed:
    """What was fitted for a network on an A100: seconds = fixed + amount x per unit.

    ``rate``: operations/s; ``fixed``: seconds of a step whatever its batch is. ``eval_fixed`` and
    ``eval_image``: seconds that an evaluation stops training for, and more per image of each GPU.
    """

    rate: float
    fixed: float
    eval_fixed: float
    eval_image: float


@dataclass(frozen=True)
class Step:
    """Seconds of a training step: ``compute``; ``exchange`` that nothing hides; ``wait`` for images."""

    compute: float
    exchange: float
    wait: float

    @property
    def seconds(self) -> float:
        return self.compute + self.exchange + self.wait


def allreduce(machine: Machine, processes: int, size: float) -> float:
    """Seconds in which ``processes`` GPUs add up ``size`` bytes.

    Rings inside the machines and then between them, where each of m members sends 2 (m - 1) / m of the data;
    hops up and down a tree: along a chain in the machine, log2 between machines.
    """
    inside = min(processes, machine.gpus)
    machines = math.ceil(processes / machine.gpus)
    if processes == 1:
        return 0.0
    seconds = machine.call + 2 * (inside - 1) / inside * size / machine.link
    seconds += 2 * (inside - 1) * machine.hop
    if machines > 1:
        seconds += 2 * (machines - 1) / machines * size / machine.network
        seconds += 2 * math.log2(machines) * machine.far_hop
    return seconds


def step(
    task: Task, machine: Machine, speed: Speed, processes: int, batch: int, overlap: float = 0.0
) -> Step:
    """The parts of a step with ``batch`` images per process.

    ``overlap``: share of the exchange that may run beside the backward pass; 0 where all gradients are sent
    as one group, as in the SSD submissions (``horovod_num_groups=1`` in Fujitsu's log).
    """
    compute = speed.fixed + batch * task.training_flop / speed.rate
    backward = compute * BACKWARD / (1 + BACKWARD)
    exchange = allreduce(machine, processes, task.gradient_bytes)
    exchange -= min(overlap * exchange, backward)
    cores = CORE_IMAGES.get(task.model)
    input_seconds = batch / (cores * machine.cores) if cores else 0.0
    return Step(compute, exchange, max(0.0, input_seconds - compute - exchange))


def training(task: Task, speed: Speed, one: Step, processes: int, batch: int, epochs: int) -> float:
    """Seconds from the first image to the target: ``epochs`` epochs and the evaluations between them."""
    steps = math.ceil(task.images / (batch * processes))
    evaluation = speed.eval_fixed + speed.eval_image * task.val_images / processes
    return task.start + epochs * steps * one.seconds + epochs // task.every * evaluation + task.closing


def fit(task: Task, machine: Machine, small: Log, large: Log, overlap: float) -> Speed:
    """The speed with which the model gives exactly two published rates, of one machine and of several."""
    exchanges = [allreduce(machine, log.gpus, task.gradient_bytes) for log in (small, large)]
    seconds = [log.step - (1 - overlap) * exchange for log, exchange in zip((small, large), exchanges)]
    per_image = (seconds[0] - seconds[1]) / (small.batch - large.batch)
    images = [task.val_images / log.gpus for log in (small, large)]
    eval_image = (small.evaluation - large.evaluation) / (images[0] - images[1])
    return Speed(
        rate=task.training_flop / per_image,
        fixed=seconds[0] - small.batch * per_image,
        eval_fixed=small.evaluation - images[0] * eval_image,
        eval_image=eval_image,
    )


def fitted(task: Task, overlap: float) -> Speed:
    """`fit` to the two logs of the task's network that are marked for it."""
    small, large = (log for log in LOGS if log.model == task.model and log.fitted)
    return fit(task, DGX_A100, small, large, overlap)


def differs(model: float, published: float) -> str:
    """How much more the model says than was published, in whole per cent."""
    share = round(100 * (model / published - 1))
    return f"{share:+d}%" if share else "0%"


def render(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


def prediction_rows(task: Task, overlap: float) -> list[list[str]]:
    """A row per number of processes: those of the logs on DGX A100, and one with the first one's batch."""
    speed = fitted(task, overlap)
    logs = [log for log in LOGS if log.model == task.model and log.machine == "DGX A100"]
    alone = replace(logs[0], gpus=1)
    best = alone.batch / step(task, DGX_A100, speed, 1, alone.batch, overlap).seconds
    rows = []
    for log in (alone, *logs):
        one = step(task, DGX_A100, speed, log.gpus, log.batch, overlap)
        rate = log.gpus * log.batch / one.seconds
        same = step(task, DGX_A100, speed, 1, log.batch, overlap)
        minutes = training(task, speed, one, log.gpus, log.batch, log.epochs) / 60
        rows.append(
            [f"`{task.model}`", f"{log.gpus:,}", str(log.batch)]
            + [f"{1000 * part:.2f}" for part in (one.compute, one.exchange, one.wait)]
            + [f"{1 / one.seconds:.1f}", f"{rate:,.0f}", f"{same.seconds / one.seconds:.1%}"]
            + [f"{rate / log.gpus / best:.1%}", str(log.epochs), f"{minutes:.2f}"]
        )
    return rows


def comparison_rows(task: Task, overlap: float) -> list[list[str]]:
    """A row per published log: its step and its minutes beside the model's."""
    speed, rows = fitted(task, overlap), []
    for log in (log for log in LOGS if log.model == task.model):
        one = step(task, MACHINES[log.machine], speed, log.gpus, log.batch, overlap)
        minutes = training(task, speed, one, log.gpus, log.batch, log.epochs) / 60
        rows.append(
            [f"{log.name}{' (fitted)' if log.fitted else ''}", f"{log.gpus:,} x {log.batch}"]
            + [f"{1000 * log.step:.2f}", f"{1000 * one.seconds:.2f}", differs(one.seconds, log.step)]
            + [f"{log.seconds / 60:.2f}", f"{minutes:.2f}", differs(60 * minutes, log.seconds)]
        )
    return rows


PREDICTED = (
    *("network", "GPUs", "batch each", "compute ms", "exchange ms", "input wait ms", "steps/s", "images/s"),
    *("efficiency, same batch", "of one GPU's rate", "epochs", "minutes"),
)
COMPARED = (
    *("log", "GPUs x batch", "step ms, published", "model", "differs"),
    *("minutes, published", "model", "differs"),
)


def report(overlap: float) -> str:
    """Everything that is printed without --measure."""
    lines, found = [], tasks().values()
    for task in found:
        speed = fitted(task, overlap)
        share, megabytes = speed.rate / TENSOR_PEAK, task.gradient_bytes / 1e6
        lines.append(
            f"- `{task.model}`: {task.training_flop / 1e9:.1f} GFLOP per image and step, {megabytes:.1f} MB "
            f"of gradients; fitted: {speed.rate / 1e12:.0f} TFLOP/s ({share:.0%} of the peak), "
            f"{1000 * speed.fixed:.1f} ms per step; an evaluation {speed.eval_fixed:.2f} s and "
            f"{1000 * speed.eval_image:.2f} ms per image of a GPU"
        )
    lines += ["", *render(PREDICTED, [row for task in found for row in prediction_rows(task, overlap)]), ""]
    lines += render(COMPARED, [row for task in found for row in comparison_rows(task, overlap)])
    return "\n".join(lines)


def write(text: str) -> None:
    """Puts the report between the marks of docs/scaling.md."""
    before, rest = DOC.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    DOC.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--overlap", type=float, default=0.0, help="share of the exchange hidden, 0 to 1")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    parser.add_argument("--measure", action="store_true", help="train with one and two processes here")
    parser.add_argument("--model", default="ssd_tiny", help="for --measure")
    parser.add_argument("--batch-size", type=int, default=8, help="for --measure: images of all processes")
    parser.add_argument("--steps", type=int, default=20, help="for --measure: per run")
    parser.add_argument("--rounds", type=int, default=5, help="for --measure")
    args = parser.parse_args()
    if not 0 <= args.overlap <= 1:
        parser.error("--overlap is a share, 0 to 1")
    if args.write and args.overlap:
        parser.error("--write takes the default --overlap: the document says 0")
    if args.measure:
        from scaling_measure import measure

        return measure(args.model, args.batch_size, args.steps, args.rounds)
    text = report(args.overlap)
    if args.write:
        write(text)
    print(text)


if __name__ == "__main__":
    main()
