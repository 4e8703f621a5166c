"""Preprocessing that travels with the weights."""

from __future__ import annotations

import numpy as np
import pytest

from gluon_ssd.data.preprocess import Preprocess
from gluon_ssd.errors import UserError


def test_imagenet_by_default():
    preprocess = Preprocess()
    table = preprocess.table()
    assert preprocess.size == (300, 300) and table.shape == (3, 256) and table.dtype == np.float32
    # (0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225
    np.testing.assert_allclose(
        [table[0, 0], table[1, 255], table[2, 128]], [-2.117904, 2.428571, 0.426492], 1e-5
    )


def test_round_trips():
    preprocess = Preprocess((100, 200), (0.1, 0.2, 0.3), (1.0, 0.5, 0.25))
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess
    assert Preprocess.from_dict({}) == Preprocess()
    levels = np.arange(256, dtype=np.uint8)
    image = np.stack([levels] * 3, axis=-1)[None]
    assert (preprocess.restore(preprocess.table()[:, None, :]) == image).all()


@pytest.mark.parametrize(
    "values, part",
    [
        ({"size": [0, 3]}, "size"),
        ({"std": [1, 1, 0]}, "std"),
        ({"mean": [1]}, "mean"),
        ({"meen": [1]}, "mean"),
        ({"mean": [1, 10**400, 1]}, "mean needs 3 numbers"),
        ({"std": [1, float("nan"), 1]}, "std needs 3 numbers"),
        ({"size": 300}, "size needs 2 numbers, got 300"),
        ({"size": [10**9, 300]}, "size .* is more than 65536 pixels"),
    ],
)
def test_mistakes(values, part):
    with pytest.raises(UserError, match=part):
        Preprocess.from_dict(values)
