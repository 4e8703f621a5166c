"""What the ranks of a training tell each other besides gradients."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Mapping
from typing import Any

import mxnet as mx

from ..recipe import Recipe
from .distributed import World


def describe_ranks(world: World, recipe: Recipe) -> list[str]:
    """Lines that say who takes part, with which seeds, and what a step is. Collective."""
    if world.size == 1:
        return []
    seeds, hosts = zip(*world.gather((world.seed(recipe.seed), socket.gethostname())))
    places = ", ".join(f"{count} on {host}" for host, count in Counter(hosts).items())
    return [
        f"{world.size} processes: {places}; global batch {recipe.global_batch(world.size)}, "
        f"lr {recipe.effective_lr(world.size):.4g}",
        f"seeds of ranks 0 to {world.size - 1}: {', '.join(map(str, seeds))}; the order of images and their "
        f"augmentation follow from {recipe.seed} alone, every rank has images of its own",
    ]


def average_statistics(world: World, net: Any) -> None:
    """Gives every rank the mean of all ranks' running statistics; what is alike stays, bit by bit."""
    if world.size == 1:
        return
    named = net.collect_params().items()
    arrays = [value.data() for name, value in named if name.endswith(("running_mean", "running_var"))]
    if not arrays:
        return
    joined = mx.nd.concat(*[array.reshape(-1).astype("float32") for array in arrays], dim=0)
    base = joined.copy()
    world.broadcast([base], ["statistics"])
    change = joined - base
    world.allreduce([change], ["statistics"])
    mean, place = base + change / world.size, 0
    for array in arrays:
        array[:] = mean[place : place + array.size].reshape(array.shape).astype(array.dtype)
        place += array.size


def averaged(world: World, values: Mapping[str, float]) -> dict[str, float]:
    """The mean over the ranks of every value; all ranks have the same names. Collective."""
    everywhere = world.gather(dict(values))
    return {name: sum(found[name] for found in everywhere) / world.size for name in values}
