"""What each rank of distributed/test_steps.py does: some short trainings, their ends in a file per rank."""

from __future__ import annotations

import sys
from pathlib import Path

import gluon_ssd  # noqa: F401 - before MXNet, which needs it beside today's NumPy

# isort: split

import mxnet as mx
import numpy as np

from gluon_ssd.recipe import load_recipe
from gluon_ssd.training.build import make_net, make_schedule, make_step, training_loader
from gluon_ssd.training.callbacks.weight_average import WeightAverage, running_statistics
from gluon_ssd.training.distributed import average_statistics, connect
from gluon_ssd.training.inputs import open_inputs
from gluon_ssd.training.loss_scale import LossScale

STEPS, IMAGES = 20, 4
# Rounding makes ReLU and the choice of negatives fall the other way now and then, and a gradient jump by
# some per cent; where norms see four values at a time, by more. At these rates that moves no weight by 1e-5,
# while the steps together move some by 2e-4 and more.
LR = {True: 0.00004, False: 0.000005}


def recipe_of(data, world, **changes):
    """IMAGES per step, whatever the number of ranks."""
    share = IMAGES // world.size // changes.get("accumulate", 1)
    values = {"data": str(data), "output": "none", "batch_size": share, "max_steps": None}
    return load_recipe("ssd_tiny/smoke", {**values, **changes})


def parts(world, recipe, constant_norms):
    inputs = open_inputs(recipe, world)
    net, _ = make_net(inputs)
    if constant_norms:
        for block in net.backbone, net.extras:
            block.apply(
                lambda layer: layer._kwargs.update(use_global_stats=True) if hasattr(layer, "gamma") else None
            )
    return net, make_step(inputs, net), training_loader(inputs, net)


def batches(loader):
    epoch = 0
    while True:
        epoch += 1
        loader.set_epoch(epoch)
        with loader:
            yield from ((epoch, batch) for batch in loader)


def train(world, data, constant_norms, **changes):
    """Parameters after STEPS steps, by name; the images of the first step under ``ids``.

    ``moved``: how far the weight went that went farthest. ``average:NAME``: the average of a weight.
    ``first:NAME``: running statistics after one step.
    """
    recipe = recipe_of(data, world, lr=LR[constant_norms], **changes)
    net, step, loader = parts(world, recipe, constant_norms)
    average = WeightAverage(net, 0.9)
    schedule, stream, ids = make_schedule(recipe, loader.samples, world.size), batches(loader), []
    before, first = values(net), {}
    for number in range(STEPS):
        for _ in range(recipe.accumulate):
            epoch, batch = next(stream)
            ids += batch.image_ids.tolist() if number == 0 else []
            targets = [mx.nd.array(target) for target in batch.targets]
            step(mx.nd.array(batch.images), targets, schedule(epoch, number + 1))
        average.update(number + 1)
        if number == 0:
            first = {f"first:{name}": value for name, value in values(net).items() if "running_" in name}
    found = values(net)
    moved = [np.abs(found[name] - before[name]).max() for name in found if "running_" not in name]
    found.update({f"average:{name}": value for name, value in average.arrays().items()})
    found.update(first, ids=np.array(ids), moved=np.array(max(moved)))
    return found


def values(net):
    return {name: param.data().asnumpy() for name, param in net.collect_params().items()}


def first_gradient(world, data):
    """The mean gradient of a step, as the update sees it, beside this rank's own; nothing is updated."""
    net, step, loader = parts(world, recipe_of(data, world), True)
    own, seen = {}, {}
    trained = [param for param in net.collect_params().values() if param.grad_req != "null"]
    step.before_exchange = lambda: own.update({p.name: p.grad().asnumpy() for p in trained})
    step.trainer.step = lambda parts: seen.update({p.name: p.grad().asnumpy() / parts for p in trained})
    _, batch = next(batches(loader))
    step(mx.nd.array(batch.images), [mx.nd.array(target) for target in batch.targets], 0.1)
    return {**{f"own:{name}": own[name] for name in own}, **{f"mean:{name}": seen[name] for name in seen}}


def overflow(world, data):
    """Only the last rank's gradient is not finite: how many steps were skipped, and whether weights moved."""
    net, step, loader = parts(world, recipe_of(data, world), True)
    step.scale = LossScale(dynamic=True)
    _, batch = next(batches(loader))
    before = values(net)
    targets = [mx.nd.array(target) for target in batch.targets]
    if world.rank == world.size - 1:
        targets[1] = targets[1] * float("inf")
    step(mx.nd.array(batch.images), targets, 0.1)
    moved = any((before[name] != value).any() for name, value in values(net).items())
    return {"skipped": step.scale.skipped, "scale": step.scale.value, "moved": moved}


def statistics(world, data):
    """Running statistics after some steps, before and after they are averaged, and once more."""
    net, step, loader = parts(world, recipe_of(data, world), False)
    stream, found = batches(loader), {}
    for _ in range(2):
        _, batch = next(stream)
        step(mx.nd.array(batch.images), [mx.nd.array(target) for target in batch.targets], 0.001)
    for moment in ("own", "mean", "again"):
        if moment != "own":
            average_statistics(world, [value.data() for value in running_statistics(net).values()])
        running = {name: value for name, value in values(net).items() if "running_" in name}
        found.update({f"{moment}:{name}": value for name, value in running.items()})
    return found


def main(data, output):
    world = connect(bn_group=2)
    results = {
        "constant": train(world, data, True),
        "accumulated": train(world, data, True, accumulate=2),
        "bundled": train(world, data, True, num_groups=3),
        "compressed": train(world, data, True, compression="fp16"),
        "group": train(world, data, False, bn_group=2),
        "gradient": first_gradient(world, data),
        "overflow": overflow(world, data),
        "statistics": statistics(world, data),
        "seed": {"seed": world.seed(5)},
    }
    flat = {f"{case}/{name}": value for case, found in results.items() for name, value in found.items()}
    np.savez(Path(output) / f"rank{world.rank}.npz", **flat)


if __name__ == "__main__":
    main(*sys.argv[1:])
