"""Batches of inputs into padded detections, by MXNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mxnet as mx

from ..device import target_of
from ..model_zoo import as_detector
from ..model_zoo.fused import can_fuse, fused_copy, plain_copy
from ..nn import compute_precision


class MXNetRunner:
    """A network and its post-processing as what `Detector` runs.

    ``fuse`` and ``precision`` bf16 work on a copy of the network. Results are computed while the caller goes
    on, and waited for where they are read.
    """

    def __init__(self, net: Any, settings: Mapping[str, Any], fuse: bool, precision: str) -> None:
        self._postprocess = as_detector(net).postprocess(**settings)
        self.net = net
        if precision == "bf16":
            self.net = plain_copy(net)
            compute_precision(self.net, "bfloat16")
        elif fuse and can_fuse(net):
            self.net = fused_copy(net)
        self.device = next(iter(net.collect_params().values())).list_ctx()[0]
        self.target = target_of(self.device, self.net)
        self._postprocess.initialize(ctx=self.device)
        self._postprocess.hybridize(static_alloc=True)
        # A fused copy is a graph already, in a way of its own.
        if self.net is net or precision == "bf16":
            self.net.hybridize(static_alloc=True)

    def detect(self, images: Any, layout: str = "NCHW") -> tuple[Any, Any, Any]:
        """Padded (class_ids, scores, boxes), NDArrays, of a batch that is an array of NumPy's or MXNet's."""
        return self._postprocess(*self._outputs(images, layout))

    def run_network(self, images: Any, layout: str = "NCHW") -> None:
        """Runs the network without its post-processing on such a batch, and waits for it; to time it."""
        self._outputs(images, layout)
        mx.nd.waitall()

    def _outputs(self, images: Any, layout: str) -> Any:
        if isinstance(images, mx.nd.NDArray):
            images = images.as_in_context(self.device)
        else:
            images = mx.nd.array(images, ctx=self.device)
        if layout != self.net.layout:
            images = self.net.arrange(images)
        return self.net(images)
