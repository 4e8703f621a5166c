"""The device on which a network runs."""

from __future__ import annotations

from typing import Any

import mxnet as mx

from .data.batch import Batch, Target
from .errors import UserError, unknown
from .recipe import DEVICES


def pick_device(name: str = "auto", local_rank: int = 0) -> mx.Context:
    """Returns the MXNet context for ``auto`` (a GPU if MXNet sees one), ``cpu`` or ``gpu``.

    ``local_rank`` is the number of this process on its machine. A process gets the GPU of that number, or the
    only GPU that its launcher lets it see. Raises UserError for another name, and where there is no such GPU.
    """
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    gpus = mx.context.num_gpus() if name != "cpu" else 0
    if name == "gpu" and not gpus:
        raise UserError("device gpu: MXNet sees no GPU here; use device cpu, or see gluon-ssd doctor")
    if local_rank >= gpus > 1:
        raise UserError(
            f"MXNet sees {gpus} GPUs, none for process {local_rank + 1} of this machine; start {gpus}"
        )
    # A launcher that shows each process one GPU numbers that GPU 0 in all of them.
    return mx.gpu(local_rank if gpus > 1 else 0) if gpus else mx.cpu()


def images_on(device: mx.Context, batch: Batch) -> mx.nd.NDArray:
    """Returns the images of a batch on ``device``; an NDArray that is there already is not copied."""
    if isinstance(batch.images, mx.nd.NDArray):
        return batch.images.as_in_context(device)
    return mx.nd.array(batch.images, ctx=device)


def target_of(device: mx.Context, net: Any) -> Target:
    """Returns what a loader should make for ``net`` on ``device``."""
    return Target(device.device_type, device.device_id, net.layout, net.dtype)
