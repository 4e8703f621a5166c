import mxnet as mx
import numpy as np
import pytest

from gluon_ssd.data import EvalTransform, NativeLoader, Preprocess, open_dataset
from gluon_ssd.data.batch import Target
from gluon_ssd.data.pipelines import InputSettings, make_loader
from gluon_ssd.data.synthetic import SyntheticDataset, SyntheticLoader
from gluon_ssd.errors import UserError

TRANSFORM = EvalTransform(Preprocess((24, 32)))


@pytest.fixture
def data(coco_folder):
    return open_dataset(coco_folder(count=7), "train")


def test_ids_and_sizes_are_the_data_sets(data):
    native, synthetic = NativeLoader(data, TRANSFORM, 3), SyntheticLoader(data, TRANSFORM, 3)
    assert len(synthetic) == len(native) and synthetic.samples == 7
    for a, b in zip(native, synthetic):
        np.testing.assert_array_equal(a.image_ids, b.image_ids)
        np.testing.assert_array_equal(a.sizes, b.sizes)
        assert b.images.shape == a.images.shape
        assert (b.boxes[..., 2:] > b.boxes[..., :2]).all() and b.boxes.min() >= 0 and b.boxes.max() <= 1
        assert set(b.labels.ravel()) <= {0, 1}


def test_batches_are_made_once_and_encoded_once():
    calls = []
    dataset = SyntheticDataset(["cat", "dog"], 8)
    loader = SyntheticLoader(dataset, TRANSFORM, 4, encoder=lambda *objects: calls.append(1) or "targets")
    batches = [batch for epoch in range(3) for batch in loader]
    assert len(batches) == 6 and len(calls) == 1
    assert all(batch.images is batches[0].images and batch.targets == "targets" for batch in batches)
    assert isinstance(batches[0].images, mx.nd.NDArray) and loader.wait_seconds == 0


def test_images_come_as_the_network_wants_them():
    loader = SyntheticLoader(
        SyntheticDataset(["cat"], 4), TRANSFORM, 4, target=Target(layout="NHWC", dtype="float16")
    )
    (batch,) = loader
    assert batch.images.shape == (4, 24, 32, 3) and batch.images.dtype == np.float16
    assert batch.pictures().shape == (4, 3, 24, 32) and batch.pictures().dtype == np.float32


def test_resume_and_the_short_last_batch():
    loader = SyntheticLoader(SyntheticDataset(["cat"], 7), TRANSFORM, 3)
    loader.set_epoch(1, 1)
    assert [batch.image_ids.tolist() for batch in loader] == [[4, 5, 6], [7]]
    assert [len(batch.images) for batch in loader] == [3, 1]


def test_a_generated_data_set_has_a_truth():
    truth = SyntheticDataset(["cat", "dog"], 5).coco_gt()
    assert len(truth.imgs) == 5 and len(truth.anns) == 35 and sorted(truth.cats) == [1, 2]


def test_the_factory_knows_its_pipelines(data):
    assert isinstance(make_loader(data, TRANSFORM, 2, InputSettings(), Target()), NativeLoader)
    synthetic = make_loader(data, TRANSFORM, 2, InputSettings("synthetic"), Target())
    assert isinstance(synthetic, SyntheticLoader)
    with pytest.raises(UserError, match="unknown data_pipeline 'dalí'; did you mean dali"):
        make_loader(data, TRANSFORM, 2, InputSettings("dalí"), Target())
    with pytest.raises(UserError, match="on_bad_image skip: DALI stops"):
        make_loader(data, TRANSFORM, 2, InputSettings("dali", on_bad_image="skip"), Target())


def test_without_dali_the_extra_is_named(data, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(UserError, match=r"DALI is not installed .*pip install 'gluon_ssd\[dali\]'"):
        make_loader(data, TRANSFORM, 2, InputSettings("dali"), Target())
