"""Convolutions whose input gets zero channels, because oneDNN's kernels for bfloat16 are slow without."""

import mxnet as mx
import numpy as np
import pytest

from gluon_ssd.nn import Conv2D, LayerConfig, compute_precision, using


@pytest.mark.parametrize(
    ("inputs", "groups", "precision", "computed"),
    [
        (3, 1, "bfloat16", 4),
        (2, 1, "bfloat16", 4),
        (8, 1, "bfloat16", 8),
        # One channel is fewer than the zeros that it would need, and a depthwise convolution has no sums.
        (1, 1, "bfloat16", 1),
        (6, 6, "bfloat16", 6),
        (3, 1, None, 3),
        (3, 1, "float16", 3),
    ],
)
def test_padded_inputs_change_only_the_rounding(monkeypatch, inputs, groups, precision, computed):
    mx.random.seed(2)
    with using(LayerConfig()):
        conv = Conv2D(6, 3, 2, 1, in_channels=inputs, groups=groups)
    conv.initialize()
    images = mx.nd.random.uniform(-2, 2, (2, inputs, 9, 11))
    wanted = conv(images).asnumpy()
    compute_precision(conv, precision)
    shapes = []
    inner = conv._ops.convolution

    def watch(F, arrays, **options):
        shapes.append([array.shape[1] for array in arrays])
        return inner(F, arrays, **options)

    monkeypatch.setattr(conv._ops, "convolution", watch, raising=False)
    found = conv(images).astype("float32").asnumpy()
    assert shapes == [[computed, computed // groups]]
    assert conv.weight.shape[1] == inputs // groups
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-2 * np.abs(wanted).max())
