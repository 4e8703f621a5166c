"""Training step of ssd_resnet34 against GluonCV's ssd_300_resnet34_v1b_coco, in turn on this machine.

`run.py` also holds it against the same network in PyTorch.

    python benchmarks/train_step.py [--batch-size 8] [--rounds 7] [--precision fp32 bf16]

A step is forward, loss, backward and SGD on a batch with its targets ready. GluonCV runs as its own training
script does; its bfloat16 is MXNet's automatic mixed precision, as there is no other.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from peers import contest, serve


def objects(batch_size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Seven random objects per image: boxes (B, 7, 4) ltrb fractions and labels (B, 7) from 0."""
    random = np.random.RandomState(seed)
    size = random.uniform(0.05, 0.5, (batch_size, 7, 2))
    corner = random.uniform(0, 1 - size)
    return np.concatenate([corner, corner + size], 2).astype(np.float32), random.randint(
        0, 80, (batch_size, 7)
    )


def ours(batch_size: int, precision: str) -> Callable[[], None]:
    import gluon_ssd
    from gluon_ssd.nn import compute_precision
    from gluon_ssd.training.step import TrainStep

    import mxnet as mx  # isort: skip  after gluon_ssd, which sets the threads

    net = gluon_ssd.get_model("ssd_resnet34")
    compute_precision(net, "bfloat16" if precision == "bf16" else None)
    step = TrainStep(net, net.loss())
    targets = [mx.nd.array(array) for array in net.target_encoder()(*objects(batch_size))]
    images = mx.nd.random.uniform(-2, 2, (batch_size, 3, 300, 300))

    def work() -> None:
        step(images, targets, 1e-4)
        mx.nd.waitall()

    return work


def gluoncv(batch_size: int, precision: str) -> Callable[[], None]:
    import gluon_ssd

    import mxnet as mx  # isort: skip
    from mxnet import autograd, gluon
    from mxnet.contrib import amp

    assert gluon_ssd.__version__  # imported for the number of threads it sets
    if precision == "bf16":
        amp.init("bfloat16")
    from gluon_ssd.model_zoo.gluoncv_backbone import import_gluoncv

    import_gluoncv()
    from gluoncv.loss import SSDMultiBoxLoss  # isort: skip
    from gluoncv.model_zoo import get_model
    from gluoncv.model_zoo.ssd.target import SSDTargetGenerator

    net = get_model("ssd_300_resnet34_v1b_coco", pretrained=False, pretrained_base=False)
    net.initialize()
    images = mx.nd.random.uniform(-2, 2, (batch_size, 3, 300, 300))
    with autograd.train_mode():
        cls_preds, _, anchors = net(images)
    boxes, labels = (mx.nd.array(array) for array in objects(batch_size))
    generate = SSDTargetGenerator(iou_thresh=0.5, stds=(0.1, 0.1, 0.2, 0.2), negative_mining_ratio=-1)
    parts = [
        generate(anchors, None, boxes[i : i + 1] * 300, labels[i : i + 1].expand_dims(2))
        for i in range(batch_size)
    ]
    cls_targets, box_targets = (mx.nd.concat(*[part[which] for part in parts], dim=0) for which in (0, 1))
    loss: Any = SSDMultiBoxLoss()
    net.hybridize(static_alloc=True, static_shape=True)
    settings = {"learning_rate": 1e-4, "momentum": 0.9, "wd": 5e-4}
    trainer = gluon.Trainer(net.collect_params(), "sgd", settings)

    def work() -> None:
        with autograd.record():
            cls_preds, box_preds, _ = net(images)
            total = loss(cls_preds, box_preds, cls_targets, box_targets)[0]
            autograd.backward(total)
        trainer.step(1)
        mx.nd.waitall()

    return work


def torch(batch_size: int, precision: str) -> Callable[[], None]:
    import os

    import torch
    from torch_ssd import train_step

    import gluon_ssd  # only for the targets

    threads = os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(int(threads) if threads else len(os.sched_getaffinity(0)))
    targets = gluon_ssd.get_model("ssd_resnet34").target_encoder()(*objects(batch_size))
    images = np.random.RandomState(0).uniform(-2, 2, (batch_size, 3, 300, 300)).astype(np.float32)
    return train_step(images, list(targets), precision)


WORKERS = {"ours": ours, "gluoncv": gluoncv, "torch": torch}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return serve(WORKERS[args.worker](args.batch_size, args.precision[0]))
    for precision in args.precision:
        print(f"training step, {precision}, batch {args.batch_size}, 300x300", flush=True)
        options = ["--batch-size", str(args.batch_size), "--precision", precision]
        contest(__file__, options, args.batch_size, args.rounds)


if __name__ == "__main__":
    main()
