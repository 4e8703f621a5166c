"""Inference of ssd_resnet34 against GluonCV's ssd_300_resnet34_v1b_coco, detections included, in turn.

    python benchmarks/inference.py [--batch-size 8] [--rounds 9] [--precision fp32 bf16]

With ``trained`` scores the class scores of both are scaled and shifted until some 500 (box, class) pairs
per image pass the threshold of 0.05, as those of a trained network do. With ``initial`` scores both
networks are as they are built, nearly every pair is near 1/81, and the threshold of both is 0.01: the most
that NMS can meet. Also prints what share of our time is post-processing. Both sides keep the best 200
detections at IoU 0.5 and hand the same number of pairs to NMS: 1,000, our default, or 400, GluonCV's.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from peers import contest, serve

PAIRS = 500
# Ours; GluonCV has 0.01 always.
THRESHOLDS = {"trained": 0.05, "initial": 0.01}


def calibrate(logits: np.ndarray) -> tuple[float, float]:
    """Factor and background shift that make ``logits`` (N, A, C) give PAIRS scores above 0.05 per image."""
    factor = 1.5 / logits.std()
    low, high = 0.0, 30.0
    for _ in range(20):
        shift = (low + high) / 2
        scaled = logits * factor
        scaled[:, :, 0] += shift
        exponentials = np.exp(scaled - scaled.max(axis=2, keepdims=True))
        scores = exponentials / exponentials.sum(axis=2, keepdims=True)
        found = (scores[:, :, 1:] > 0.05).sum() / len(logits)
        low, high = (shift, high) if found > PAIRS else (low, shift)
    return float(factor), shift


def set_scores(
    convolutions: Sequence[Any], class_channels: Sequence[int], factor: float, shift: float
) -> None:
    """Applies `calibrate`'s result to prediction layers whose first channels are class scores, 81 per box."""
    import mxnet as mx

    for convolution, channels in zip(convolutions, class_channels):
        for parameter in (convolution.weight, convolution.bias):
            value = parameter.data().asnumpy()
            value[:channels] *= factor
            if value.ndim == 1:
                value[:channels:81] += shift
            parameter.set_data(mx.nd.array(value))


def images(batch_size: int) -> Any:
    import mxnet as mx

    mx.random.seed(0)
    return mx.nd.random.uniform(-2, 2, (batch_size, 3, 300, 300))


def our_parts(
    batch_size: int, precision: str, candidates: int = 1000, scores: str = "trained"
) -> tuple[Any, Any, Any]:
    """Network, post-processing block and images."""
    import gluon_ssd
    from gluon_ssd.model_zoo.fused import fused_copy
    from gluon_ssd.nn import compute_precision

    net = gluon_ssd.get_model("ssd_resnet34")
    batch = images(batch_size)
    if scores == "trained":
        factor, shift = calibrate(net(batch)[0].asnumpy())
        channels = [boxes * 81 for boxes in net.default_boxes.per_cell]
        set_scores([predictor.conv for predictor in net.predictors], channels, factor, shift)
    if precision == "bf16":
        compute_precision(net, "bfloat16")
        net.hybridize(static_alloc=True)
    else:
        net = fused_copy(net)
    postprocess = net.postprocess(candidates=candidates, score_threshold=THRESHOLDS[scores])
    postprocess.initialize()
    postprocess.hybridize(static_alloc=True)
    return net, postprocess, batch


def ours(batch_size: int, precision: str, candidates: int, scores: str) -> Callable[[], None]:
    net, postprocess, batch = our_parts(batch_size, precision, candidates, scores)

    def work() -> None:
        for output in postprocess(*net(batch)):
            output.wait_to_read()

    return work


def gluoncv(batch_size: int, precision: str, candidates: int, scores: str) -> Callable[[], None]:
    import gluon_ssd

    import mxnet as mx  # isort: skip
    from mxnet import autograd
    from mxnet.contrib import amp

    from gluon_ssd.model_zoo.gluoncv_backbone import import_gluoncv

    assert gluon_ssd.__version__  # imported for the number of threads it sets
    zoo = import_gluoncv().model_zoo
    net = zoo.get_model("ssd_300_resnet34_v1b_coco", pretrained=False, pretrained_base=False)
    net.initialize()
    batch = images(batch_size)
    with autograd.train_mode():
        logits = net(batch)[0].asnumpy()
    if scores == "trained":
        heads = [predictor.predictor for predictor in net.class_predictors]
        set_scores(heads, [head.weight.shape[0] for head in heads], *calibrate(logits))
    net.set_nms(nms_thresh=0.5, nms_topk=candidates, post_nms=200)
    net.hybridize(static_alloc=True, static_shape=True)
    net(batch)
    if precision == "bf16":
        net = amp.convert_hybrid_block(net, target_dtype="bfloat16", ctx=mx.cpu())
        net.hybridize(static_alloc=True, static_shape=True)

    def work() -> None:
        for output in net(batch):
            output.wait_to_read()

    return work


def print_share(batch_size: int, precision: str, rounds: int) -> None:
    """What post-processing adds to the network's time."""
    net, postprocess, batch = our_parts(batch_size, precision)
    import mxnet as mx  # isort: skip  after gluon_ssd, which sets the threads

    def once() -> tuple[float, float, Any]:
        start = time.perf_counter()
        outputs = net(batch)
        mx.nd.waitall()
        middle = time.perf_counter()
        found = postprocess(*outputs)
        mx.nd.waitall()
        return middle - start, time.perf_counter() - middle, found[0]

    rows = [once()[:2] for _ in range(rounds + 2)][2:]
    times = [1000 * statistics.median(values) for values in zip(*rows)]
    found = once()[2]
    detections = float((found >= 0).sum().asscalar()) / batch_size
    share = times[1] / times[0]
    print(f"  network {times[0]:.0f} ms, post-processing {times[1]:.1f} ms: {share:.1%} of the network")
    print(f"  ({detections:.0f} detections per image)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--candidates", type=int, nargs="+", default=[1000, 400], help="pairs that reach NMS")
    parser.add_argument("--scores", nargs="+", default=["trained", "initial"], choices=THRESHOLDS)
    parser.add_argument("--worker", choices=("ours", "gluoncv"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        make = {"ours": ours, "gluoncv": gluoncv}[args.worker]
        return serve(make(args.batch_size, args.precision[0], args.candidates[0], args.scores[0]))
    for precision in args.precision:
        print(f"inference with detections, {precision}, batch {args.batch_size}, 300x300", flush=True)
        print_share(args.batch_size, precision, args.rounds)
        for scores, candidates in itertools.product(args.scores, args.candidates):
            print(f"  {scores} scores, the best {candidates} pairs of both go into NMS", flush=True)
            options = ["--batch-size", str(args.batch_size), "--precision", precision]
            options += ["--candidates", str(candidates), "--scores", scores]
            contest(__file__, options, args.batch_size, args.rounds)


if __name__ == "__main__":
    main()
