"""A backbone that learns at a share of the learning rate."""

from __future__ import annotations

import numpy as np
import pytest
from small import sound

from gluon_ssd import load, train


@pytest.mark.once
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_one_step_moves_the_backbone_by_its_share(optimizer, tmp_path):
    data, arrays = str(sound(tmp_path / "data")), {}
    for factor in (1.0, 0.5, 0.25):
        keys = {"max_steps": 1, "eval_every": 0, "batch_size": 2}
        keys.update(optimizer=optimizer, warmup_epochs=0, lr=0.02)
        run = train(
            "ssd_tiny/smoke",
            data=data,
            output=str(tmp_path / str(factor)),
            backbone_lr_factor=factor,
            quiet=True,
            **keys,
        )
        net = load(run.last)
        backbone = net.backbone.collect_params()
        kinds = {name: name in backbone for name in net.collect_params() if "running" not in name}
        arrays[factor] = {name: net.collect_params()[name].data().asnumpy() for name in kinds}
    for name, in_backbone in kinds.items():
        whole, half, quarter = (arrays[factor][name] for factor in (1.0, 0.5, 0.25))
        if in_backbone:
            assert np.abs(whole - half).max() > 0
            np.testing.assert_allclose(whole - half, 2 * (half - quarter), rtol=1e-2, atol=1e-6)
        else:
            np.testing.assert_array_equal(whole, quarter)
