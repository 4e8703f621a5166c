"""The native loader: order, determinism, errors, threads."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

from gluon_ssd.data import EvalTransform, NativeLoader, Preprocess, SSDTrainTransform, open_dataset
from gluon_ssd.data.batch import pad_objects
from gluon_ssd.errors import UserError

pytestmark = pytest.mark.usefixtures("no_threads_left")
SMALL = Preprocess((24, 24))


@pytest.fixture
def data(coco_folder):
    """Eleven images; number 4 has no objects, number 5 only a crowd."""
    rows = [(k, 1 + 2 * (k % 2), 5 + k, 5, 20, 20) for k in range(1, 12) if k not in (4, 5)]
    rows += [(1, 3, 30, 10, 20, 30)]
    boxes = [
        {"id": k, "image_id": image, "category_id": category, "bbox": box}
        for k, (image, category, *box) in enumerate(rows, 1)
    ]
    boxes.append({"id": 99, "image_id": 5, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1})
    return open_dataset(coco_folder(count=11, annotations=boxes))


def loader(data, batch_size=4, **options):
    return NativeLoader(data, SSDTrainTransform(SMALL), batch_size, **options)


def ids(batches):
    return [batch.image_ids.tolist() for batch in batches]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        for name in ("images", "boxes", "labels", "image_ids", "sizes"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_batches_in_order_with_the_short_one_last(data):
    batches = list(NativeLoader(data, EvalTransform(SMALL), 4))
    assert ids(batches) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]]
    first = batches[0]
    assert first.images.shape == (4, 3, 24, 24) and first.images.dtype == np.float32
    assert first.images.flags.c_contiguous and len(first) == 4
    assert first.boxes.shape == (4, 2, 4) and first.boxes.dtype == np.float32
    assert first.labels.tolist() == [[1, 1], [0, -1], [1, -1], [-1, -1]] and first.labels.dtype == np.int32
    np.testing.assert_allclose(
        first.boxes[0], [[6 / 64, 5 / 48, 26 / 64, 25 / 48], [30 / 64, 10 / 48, 50 / 64, 40 / 48]]
    )
    assert (first.boxes[3] == 0).all()
    assert first.image_ids.dtype == np.int64 and first.sizes.tolist() == [[48, 64]] * 4
    assert first.sizes.dtype == np.int32 and first.targets is None


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_threads_do_not_change_anything(data, workers):
    options = {"shuffle": True, "seed": 3, "drop_last": True, "skip_empty": True}
    plain, threaded = loader(data, workers=0, **options), loader(data, workers=workers, **options)
    for epoch in (0, 1):
        plain.set_epoch(epoch)
        threaded.set_epoch(epoch)
        assert_same(list(plain), list(threaded))


def test_timing_does_not_change_anything(data):
    class Uneven(SSDTrainTransform):
        def load(self, record, rng, out):
            time.sleep(0.02 if record.image_id % 3 == 0 else 0)
            return super().load(record, rng, out)

    uneven = NativeLoader(data, Uneven(SMALL), 2, workers=4, prefetch=1, shuffle=True)
    assert_same(list(uneven), list(loader(data, 2, workers=0, shuffle=True)))


def test_epochs_and_seeds_differ_and_repeat(data):
    one, other = loader(data, shuffle=True), loader(data, shuffle=True, seed=1)
    first = list(one)
    assert_same(first, list(one))
    assert ids(first) != ids(other)
    one.set_epoch(1)
    second = list(one)
    assert ids(first) != ids(second)
    assert sorted(sum(ids(second), [])) == list(range(1, 12))
    plain = loader(data)
    before = list(plain)
    plain.set_epoch(1)
    # Same order without shuffling, but another augmentation.
    assert ids(before) == ids(plain)
    assert (before[0].images != next(iter(plain)).images).any()


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_within_an_epoch(data, workers):
    full = loader(data, 2, shuffle=True, workers=workers)
    full.set_epoch(5)
    expected = list(full)
    resumed = loader(data, 2, shuffle=True, workers=workers)
    resumed.set_epoch(5, start_batch=3)
    assert_same(expected[3:], list(resumed))
    assert len(resumed) == 6
    resumed.set_epoch(5, start_batch=6)
    assert list(resumed) == []
    with pytest.raises(ValueError, match="6 batches"):
        resumed.set_epoch(5, start_batch=7)


def test_skip_empty_keeps_images_that_have_only_crowds(data):
    assert sum(ids(loader(data, skip_empty=True)), []) == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert sum(ids(loader(data)), []) == list(range(1, 12))


def test_drop_last_and_indices(data):
    assert len(loader(data)) == 3 and len(loader(data, drop_last=True)) == 2
    assert ids(loader(data, drop_last=True)) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert ids(loader(data, 2, indices=[10, 0, 3])) == [[11, 1], [4]]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_shards_are_disjoint_and_complete_in_evaluation(data, size):
    parts = [sum(ids(loader(data, shard=(rank, size))), []) for rank in range(size)]
    assert sorted(sum(parts, [])) == list(range(1, 12))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_shuffled_shards_see_each_image_once_and_are_equal_within_one(data, size):
    for epoch in (0, 1):
        shards = [loader(data, 2, shard=(rank, size), shuffle=True) for rank in range(size)]
        for shard in shards:
            shard.set_epoch(epoch)
        seen = [sum(ids(shard), []) for shard in shards]
        assert sorted(sum(seen, [])) == sorted(sum(ids(loader(data)), []))
        lengths = [len(part) for part in seen]
        assert max(lengths) - min(lengths) <= 1


def test_shards_are_equally_long_in_training(data):
    shards = [loader(data, 2, shard=(rank, 3), drop_last=True, shuffle=True) for rank in range(3)]
    assert [len(shard) for shard in shards] == [1, 1, 1]
    seen = sum((sum(ids(shard), []) for shard in shards), [])
    assert len(seen) == len(set(seen)) == 6


def test_more_ranks_than_images(data):
    """In evaluation the last ranks have nothing to do; in training every rank says so alike."""
    shards = [loader(data, indices=[0, 1, 2], shard=(rank, 5)) for rank in range(5)]
    assert [ids(shard) for shard in shards] == [[[1]], [[2]], [[3]], [], []]
    for rank in range(5):
        with pytest.raises(UserError, match="3 images, too few for one batch of 1 on each of 5 processes"):
            loader(data, 1, indices=[0, 1, 2], shard=(rank, 5), drop_last=True)


def test_an_image_is_augmented_alike_whatever_the_shard(data):
    whole = loader(data, 11, workers=0)
    part = loader(data, 11, shard=(1, 2), workers=0)
    np.testing.assert_array_equal(next(iter(whole)).images[1::2], next(iter(part)).images)


def test_encoder_sees_each_batch_once(data):
    calls = []

    def encode(boxes, labels):
        calls.append(threading.current_thread())
        return boxes.shape, labels.shape

    batches = list(loader(data, encoder=encode))
    assert [batch.targets for batch in batches] == [(b.boxes.shape, b.labels.shape) for b in batches]
    assert len(calls) == 3 and threading.main_thread() not in calls


@pytest.mark.parametrize("workers", [0, 3])
def test_encoder_errors_name_the_images(data, workers):
    def encode(boxes, labels):
        raise ZeroDivisionError("oh")

    with pytest.raises(RuntimeError, match=r"images \[1, 2, 3, 4\]: ZeroDivisionError while encoding: oh"):
        list(loader(data, encoder=encode, workers=workers))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_bad_image_fails_at_its_batch_and_is_named(data, workers):
    data.records[6].path.write_bytes(b"")
    data.records[5].path.write_bytes(b"no picture")
    seen = []
    with pytest.raises(UserError, match="6.jpg: not a picture"):
        for batch in loader(data, workers=workers, prefetch=4):
            seen.append(batch.image_ids[0])
    assert seen == [1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bug_in_a_transform_names_the_image(data, workers):
    class Broken(EvalTransform):
        def load(self, record, rng, out):
            return record.nothing

    with pytest.raises(RuntimeError, match="1.jpg: AttributeError while loading") as caught:
        list(NativeLoader(data, Broken(SMALL), 4, workers=workers))
    assert isinstance(caught.value.__cause__, AttributeError)


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_takes_the_next_good_image_and_warns_once(data, workers):
    data.records[3].path.write_bytes(b"")
    bad = loader(data, workers=workers, on_bad_image="skip")
    with pytest.warns(UserWarning, match="image skipped.*4.jpg: the file is empty") as caught:
        assert ids(bad) == [[1, 2, 3, 5], [5, 6, 7, 8], [9, 10, 11]]
        assert ids(bad)[0] == [1, 2, 3, 5]
    assert len(caught) == 1


def test_skip_wraps_around_and_gives_up_beyond_one_percent(data):
    data.records[10].path.write_bytes(b"")
    with pytest.warns(UserWarning):
        assert ids(loader(data, on_bad_image="skip"))[-1] == [9, 10, 1]
    data.records[2].path.unlink()
    with pytest.warns(UserWarning), pytest.raises(UserError, match="2 of 11 images cannot be read"):
        list(loader(data, on_bad_image="skip"))


def test_a_larger_share_may_be_skipped_if_allowed(data):
    for index in (2, 5, 8):
        data.records[index].path.write_bytes(b"")
    told = []
    some = loader(data, workers=3, on_bad_image="skip", max_bad_share=0.3)
    some.tell_skipped(told.append)
    for epoch in range(3):
        some.set_epoch(epoch)
        assert ids(some) == [[1, 2, 4, 4], [5, 7, 7, 8], [10, 10, 11]]
    assert len(told) == 3 and all(text.startswith("image skipped: ") for text in told)
    data.records[0].path.write_bytes(b"")
    with pytest.raises(UserError, match=r"4 of 11 images cannot be read, .*\(max_bad_share 0.3\)"):
        list(some)


def test_skip_with_nothing_good_ends(data):
    data.records[0].path.write_bytes(b"")
    with pytest.raises(UserError, match="1 of 1 images cannot be read"):
        list(loader(data, indices=[0], on_bad_image="skip"))


def test_break_ends_the_threads(data):
    for _ in loader(data, 1, workers=3):
        assert any(thread.name.startswith("gluon_ssd-loader") for thread in threading.enumerate())
        break


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_in_the_consumer_ends_the_threads(data, error):
    def consume():
        for _ in loader(data, 1, workers=3):
            raise error

    with pytest.raises(error):
        consume()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gluon_ssd-loader")]


@pytest.mark.usefixtures("sigint")
def test_interrupt_while_waiting(data):
    """Ctrl-C arrives while the consumer waits for a slow batch."""
    begun = threading.Event()

    class Slow(EvalTransform):
        def load(self, record, rng, out):
            begun.set()
            time.sleep(0.05)
            return super().load(record, rng, out)

    def press():
        begun.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    finger = threading.Thread(target=press)
    with pytest.raises(KeyboardInterrupt):
        finger.start()
        for _ in NativeLoader(data, Slow(SMALL), 11, workers=2):
            pass
    finger.join()


def test_close_ends_an_abandoned_iteration(data):
    with loader(data, 1, workers=2) as source:
        kept = iter(source)
        next(kept)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gluon_ssd-loader")]
    with pytest.raises(RuntimeError, match="closed"):
        next(kept)


def test_no_more_is_prefetched_than_asked_for(data):
    started = []

    class Counting(EvalTransform):
        def load(self, record, rng, out):
            started.append(record.image_id)
            return super().load(record, rng, out)

    batches = iter(NativeLoader(data, Counting(SMALL), 1, workers=2, prefetch=3))
    next(batches)
    time.sleep(0.2)
    assert len(started) == 4
    batches.close()


def test_a_process_may_end_in_the_middle(data, python):
    code = (
        "from gluon_ssd.data import *\n"
        f"data = open_dataset({str(data.images_dir.parent)!r})\n"
        "batches = iter(NativeLoader(data, EvalTransform(), 1, workers=2))\n"
        "print(len(next(batches)))"
    )
    done = python(code)
    assert (done.status, done.out, done.err) == (0, "1\n", "")


@pytest.mark.parametrize(
    "options, part",
    [
        ({"batch_size": 12, "drop_last": True}, "11 images, too few for one batch of 12"),
        ({"batch_size": 4, "drop_last": True, "shard": (0, 3)}, "on each of 3 processes"),
        ({"indices": [3], "skip_empty": True}, "no images with objects"),
        ({"indices": []}, "no images"),
        ({"batch_size": 0}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"seed": -1}, "seed"),
        ({"prefetch": 0}, "prefetch"),
        ({"on_bad_image": "ignore"}, "on_bad_image"),
    ],
)
def test_mistakes(data, options, part):
    with pytest.raises(UserError, match=part):
        loader(data, **options)


def test_pad_objects_has_at_least_one_row():
    boxes, labels = pad_objects([(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))] * 2)
    assert boxes.tolist() == [[[0, 0, 0, 0]]] * 2 and labels.tolist() == [[-1]] * 2


def test_coco128_full_augmentation(coco128):
    data = open_dataset(coco128)
    source = NativeLoader(data, SSDTrainTransform(), 16, shuffle=True, skip_empty=True, drop_last=True)
    count = 0
    for batch in source:
        count += len(batch)
        assert np.isfinite(batch.images).all() and batch.images.min() > -2.2 and batch.images.max() < 2.7
        real = batch.labels >= 0
        assert ((batch.boxes[real] >= 0) & (batch.boxes[real] <= 1)).all()
        assert (batch.boxes[real][:, 2:] > batch.boxes[real][:, :2]).all()
    assert count == 112
