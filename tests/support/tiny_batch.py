"""A small network with a batch that it can be trained on."""

from __future__ import annotations

import mxnet as mx
import numpy as np
from golden import padded, seeded

from gluon_ssd import get_model


def tiny_batch(images=4, **options):
    net = get_model("ssd_tiny", classes=["a", "b"], **options)
    objects = [(boxes, np.minimum(labels, 2)) for boxes, labels in seeded.ssd_gt(5, [2] * images)]
    targets = [mx.nd.array(target) for target in net.target_encoder()(*padded(objects))]
    return net, mx.nd.array(seeded.image_input(3, (images, 3, 192, 192))), targets
