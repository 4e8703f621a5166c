"""One optimizer step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Callable

import mxnet as mx
from mxnet import autograd, gluon, optimizer

from ..ops import training_graph
from .distributed import World
from .loss_scale import LossScale, all_finite


class _Graph(gluon.HybridBlock):
    """Network and loss as one graph, so that a step is one call."""

    def __init__(self, net: gluon.HybridBlock, loss: gluon.HybridBlock, arranged: bool) -> None:
        super().__init__()
        self.net, self.loss, self._arranged = net, loss, arranged

    def hybrid_forward(self, F: Any, images: Any, *targets: Any) -> Any:
        with training_graph():
            outputs = self.net(images if self._arranged else self.net.arrange(images))
        return self.loss(*outputs, *targets)


class TrainStep:
    """Forward, loss, backward and update of a network, by SGD with momentum or by Adam.

    ``accumulate`` batches make one update; their gradients are averaged. Weight decay acts on every
    parameter, as in the MLPerf trainings, or, where ``decay_norms`` is false, not on biases and norms.
    Parameters in float16 are updated through float32 copies of them that the optimizer keeps. ``scale``:
    for gradients that pass through float16; None for others. ``arranged``: the images come in the network's
    own layout instead of NCHW. ``world``: the processes whose gradients make one update, their mean;
    ``compression`` and ``groups`` as for `World.allreduce`; gradients are divided by ``predivide`` before the
    sum over processes, so that it stays within float16, and the mean makes up for it.
    """

    def __init__(
        self,
        net: gluon.HybridBlock,
        loss: gluon.HybridBlock,
        *,
        optimizer: str = "sgd",
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        decay_norms: bool = True,
        accumulate: int = 1,
        hybridize: bool = True,
        scale: LossScale | None = None,
        arranged: bool = False,
        world: World | None = None,
        compression: str = "none",
        groups: int = 0,
        predivide: float = 1.0,
    ) -> None:
        self._predivide = predivide
        self.net, self.accumulate, self.scale = net, accumulate, scale
        self.loss_names = ("loss", *getattr(loss, "part_names", ()))
        if not all(name.endswith("_loss") for name in self.loss_names[1:]):
            raise ValueError(f"part_names of a loss end in _loss, got {', '.join(loss.part_names)}")
        self.world, self._compression, self._groups = world or World(), compression, groups
        # Called when the gradients of an update are queued and nothing has been exchanged.
        self.before_exchange: Callable[[], None] = lambda: None
        # Called when a part of a step is queued: "forward", "backward" or "update".
        self.queued: Callable[[str], None] = lambda part: None
        self._graph = _Graph(net, loss, arranged)
        if hybridize:
            self._graph.hybridize(static_alloc=True, static_shape=True)
        # The rate of each update is set before it is made.
        settings = {"learning_rate": 0.0, "wd": weight_decay, "multi_precision": True}
        if optimizer == "sgd":
            settings["momentum"] = momentum
        self._trained = [param for param in net.collect_params().values() if param.grad_req != "null"]
        for param in self._trained:
            # Biases and the parameters of norms have one dimension.
            param.wd_mult = float(decay_norms or len(param.shape) > 1)
        rule = PublishedAdam.__name__ if optimizer == "adam" else optimizer
        self.trainer = gluon.Trainer(net.collect_params(), rule, settings, kvstore=None)
        self._gathered = 0
        self._sums: list[mx.nd.NDArray] = []

    def __call__(self, images: mx.nd.NDArray, targets: Sequence[mx.nd.NDArray], lr: float) -> Any:
        """Trains on one batch; returns what is minimised and its parts, each of shape (1,), not waited for.

        ``loss_names`` names them. ``images`` (B, 3, H, W) or as arranged; ``targets``: what the network's
        target encoder made. The update happens with the last of ``accumulate`` calls, at rate ``lr``; with a
        ``scale`` it is left out where a gradient is not finite, which has to be waited for. Raises UserError
        when that does not end.
        """
        with autograd.record():
            losses = self._graph(images, *targets)
        self.queued("forward")
        losses[0].backward(None if self.scale is None else mx.nd.ones_like(losses[0]) * self.scale.value)
        self.queued("backward")
        self._gathered += 1
        if self.accumulate > 1:
            self._accumulate()
        if self._gathered == self.accumulate:
            self._update(lr)
            self._gathered = 0
            self.queued("update")
        return losses

    def _accumulate(self) -> None:
        """Sums the batches' gradients aside, and gives the sum back with the last of them.

        Not by Gluon's ``grad_req`` "add": the norms of NVIDIA's MXNet write their gradients whatever it says.
        """
        gradients = [param.grad() for param in self._trained]
        if self._gathered == 1:
            self._sums = [gradient.copy() for gradient in gradients]
            return
        for total, gradient in zip(self._sums, gradients):
            kept = gradient if self._gathered == self.accumulate else total
            mx.nd.elemwise_add(total, gradient, out=kept)

    def _update(self, lr: float) -> None:
        self.trainer.set_learning_rate(lr)
        self.before_exchange()
        gradients = [param.grad() for param in self._trained]
        names = [f"gradient.{param.name}" for param in self._trained]
        if self._predivide != 1:
            for gradient in gradients:
                gradient /= self._predivide
        self.world.allreduce(gradients, names, self._compression, self._groups)
        # Sums so far: over batches and over ranks. The update divides them once.
        parts = self.accumulate * self.world.size / self._predivide
        if self.scale is None:
            self.trainer.step(parts)
            return
        used = self.scale.value
        # All ranks make a step or leave it out together.
        finite = self.world.every(all_finite(gradients))
        self.scale.update(finite)
        if finite:
            self.trainer.step(parts * used)


@optimizer.register
class PublishedAdam(optimizer.Adam):
    """Adam that adds epsilon after the bias correction of the second moment.

    MXNet's adds it before, so that its first updates are smaller where gradients are as small as epsilon: of
    1e-5, by 3 percent. States are MXNet's. Source: Kingma and Ba, "Adam" (2015), algorithm 1.
    """

    epsilon: float

    def update(self, index: int, weight: Any, grad: Any, state: Any) -> None:
        """Updates one parameter by one step; MXNet calls it."""
        # MXNet compares its epsilon with a root that is not corrected yet: this makes the two alike.
        steps = self._index_update_count.get(index, self.begin_num_update) + 1
        given, self.epsilon = self.epsilon, self.epsilon * math.sqrt(1 - self.beta2**steps)
        try:
            super().update(index, weight, grad, state)
        finally:
            self.epsilon = given
