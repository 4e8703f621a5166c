import mxnet as mx
import numpy as np
import pytest

from gluon_ssd.nn import GroupNorm, LayerConfig, using


def group_norm(layout="NCHW"):
    with using(LayerConfig(layout)):
        norm = GroupNorm(6, act="relu", groups=3)
    norm.initialize()
    norm.gamma.set_data(mx.nd.arange(1, 7))
    norm.beta.set_data(mx.nd.arange(-3, 3))
    return norm


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_group_norm_is_the_definition(layout, hybrid):
    """Of two channels together, with a scale and a shift for each."""
    x = np.random.RandomState(0).normal(50, 3, (2, 6, 4, 5)).astype(np.float32)
    groups = x.reshape(2, 3, -1).astype(np.float64)
    normal = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    scale, shift = np.arange(1, 7)[:, None, None], np.arange(-3, 3)[:, None, None]
    wanted = np.maximum(normal.reshape(x.shape) * scale + shift, 0)
    norm = group_norm(layout)
    norm.hybridize(hybrid)
    last = layout == "NHWC"
    found = norm(mx.nd.array(x.transpose(0, 2, 3, 1) if last else x)).asnumpy()
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2) if last else found, wanted, atol=1e-4)


def test_group_norm_stays_in_float32_where_the_network_is_float16():
    norm = group_norm()
    norm.cast("float16")
    assert np.dtype(norm.gamma.dtype) == np.dtype(norm.beta.dtype) == np.float32
    assert norm(mx.nd.ones((1, 6, 2, 2), dtype="float16")).dtype == np.float32


def test_group_norm_wants_whole_groups():
    with pytest.raises(ValueError, match="48 channels cannot be normalised in 32 groups"):
        GroupNorm(48)
