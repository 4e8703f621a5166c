"""Models in 8 bits, and what that costs and brings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError, import_problem
from ..runtimes.header import Header
from .in_memory import open_model
from .int8 import IMAGES, measure_ranges, predictors, quantised, stems
from .network import build_model
from .proof import prepared
from .sources import DETECTIONS, Options

if TYPE_CHECKING:
    import onnx

# Of mAP; more makes the predictors stay in float, and if that does not help, there is no file.
LOSS_LIMIT = 0.01


def in_int8(net: Any, header: Header, options: Options, runtime: str) -> tuple[onnx.ModelProto, str]:
    """The model in 8 bits, with ranges from ``options.calibration``, and a line on what was measured.

    ``options.score`` tells the mAP of a model before and after. Raises UserError where it loses too much, and
    where onnxruntime, which quantises, is not installed.
    """
    images = list(options.calibration or ())[:IMAGES]
    if not images:
        raise UserError("int8 needs real images to measure ranges on; give a data set (--data)")
    bare = replace(header, pixels=False, batch=None, detections={})
    raw, model = build_model(net, bare), build_model(net, header)
    try:
        ranges = measure_ranges(raw, prepared(net, images)[1])
        kept: Sequence[str] = stems(raw)
        if options.score is None:
            line = f"int8, ranges of {len(images)} images; mAP not measured, as asked"
            return quantised(model, raw, ranges, kept), line
        scored = replace(bare, detections=header.detections or DETECTIONS)
        whole = build_model(net, scored)
        before = options.score(whole, runtime)
        for kept in (stems(raw), [*stems(raw), *predictors(raw)]):
            small = quantised(whole, raw, ranges, kept)
            after = options.score(small, runtime)
            if before - after <= LOSS_LIMIT:
                slow, fast = (_speed(one, scored, runtime) for one in (whole, small))
                line = f"int8 in {runtime}: mAP {after:.4f} (float {before:.4f}), {fast:.0f} images/s (float "
                line += f"{slow:.0f}); ranges of {len(images)} images, layers in float: {len(kept)}"
                return quantised(model, raw, ranges, kept), line
    except ImportError as error:
        raise (import_problem(error) or error) from None
    raise UserError(f"int8 loses too much: mAP {after:.4f}, in float {before:.4f}; the limit is {LOSS_LIMIT}")


def _speed(model: onnx.ModelProto, header: Header, runtime: str, runs: int = 5) -> float:
    """Images per second, one at a time, of the best of some runs."""
    session = open_model(model, header, runtime)
    image = np.zeros((1, 3, *header.preprocess.size), np.float32)
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        session.run(image)
        times.append(time.perf_counter() - start)
    return 1 / min(times[1:])
