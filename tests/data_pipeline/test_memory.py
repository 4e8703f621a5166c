"""Memory of the loaders over ten thousand images."""

from __future__ import annotations

import gc
import os

import pytest

from gluon_ssd.data import Preprocess, SSDTrainTransform, open_dataset
from gluon_ssd.data.pipelines import InputSettings, Target, make_loader


def resident_mb():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize("pipeline", ["native", "dali"])
def test_memory_is_flat_over_ten_thousand_images(coco_folder, pipeline):
    """Between the two marks are 1,000 batches: 74 MB of images, were they kept."""
    if pipeline == "dali":
        pytest.importorskip("nvidia.dali")
    data = open_dataset(coco_folder([(k, 1, 10, 10, 20, 20) for k in range(1, 401)], count=400), "train")
    transform = SSDTrainTransform(Preprocess((24, 32)), attempts=1)
    settings = InputSettings(pipeline, workers=2)
    loader = make_loader(data, transform, 8, settings, Target(), shuffle=True)
    marks = []
    for epoch in range(25):
        loader.set_epoch(epoch)
        assert sum(len(batch) for batch in loader) == 400
        if epoch in (4, 24):
            marks.append(resident_mb())
    assert marks[1] - marks[0] < 12
