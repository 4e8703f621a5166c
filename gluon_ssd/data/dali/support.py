"""Whether DALI works on this machine, for ``gluon-ssd doctor``."""

from __future__ import annotations

import cv2
import numpy as np


def decode_one() -> str:
    """Decodes a picture by DALI on the CPU, hands it to MXNet, and returns a sentence that says so.

    Whatever goes wrong is raised.
    """
    import mxnet as mx
    from nvidia.dali import Pipeline, fn

    _, encoded = cv2.imencode(".jpg", np.full((16, 24, 3), 90, np.uint8))
    pipeline = Pipeline(1, 1, None)
    with pipeline:
        source = fn.external_source(lambda: [encoded.reshape(-1)])
        pipeline.set_outputs(fn.decoders.image(source))
    (output,) = pipeline.run()
    image = mx.nd.from_dlpack(output.as_tensor().__dlpack__())
    if image.shape != (1, 16, 24, 3) or abs(float(image.astype("float32").mean().asscalar()) - 90) > 2:
        raise RuntimeError(f"a grey picture came out as {image.shape} with other values")
    return "decodes on CPU"
