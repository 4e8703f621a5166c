"""Memory of the loaders over ten thousand images, in a process of their own."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.once

CODE = """
import gc, os, sys
from gluon_ssd.data import Preprocess, SSDTrainTransform, open_dataset
from gluon_ssd.data.batch import Target
from gluon_ssd.data.pipelines import InputSettings, make_loader

def resident_mb():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

data = open_dataset({root!r}, "train")
transform = SSDTrainTransform(Preprocess((24, 32)), attempts=1)
loader = make_loader(data, transform, 8, InputSettings({pipeline!r}), Target(), shuffle=True)
for epoch in range(25):
    loader.set_epoch(epoch)
    assert sum(len(batch) for batch in loader) == 400
    if epoch in (4, 24):
        print(resident_mb())
"""


@pytest.mark.parametrize("pipeline", ["native", "dali"])
def test_memory_is_flat_over_ten_thousand_images(coco_folder, python, pipeline):
    """Between the two marks are 1,000 batches: 74 MB of images, were they kept."""
    if pipeline == "dali":
        pytest.importorskip("nvidia.dali")
    root = coco_folder([(k, 1, 10, 10, 20, 20) for k in range(1, 401)], count=400)
    outcome = python(CODE.format(root=str(root), pipeline=pipeline))
    assert outcome.status == 0, outcome.err
    after_2000, after_10000 = map(float, outcome.out.split())
    assert after_10000 - after_2000 < 12
