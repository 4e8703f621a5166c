"""Record files in DALI: through our source of records, and through DALI's own readers."""

import re

import numpy as np
import pytest
from tf_message import needs_crc32c

from gluon_ssd.data import open_dataset
from gluon_ssd.data.record_files.dali_source import record_source
from gluon_ssd.data.record_files.prepare import prepare_records
from gluon_ssd.errors import UserError

dali = pytest.importorskip("nvidia.dali")

FORMATS = ["folder", "recordio", pytest.param("tfrecord", marks=needs_crc32c)]


def packed(root, out, format, shards=3):
    if format == "folder":
        return open_dataset(root)
    prepare_records(open_dataset(root), out, "train", format=format, shards=shards)
    return open_dataset(out)


def run(nodes, batch_size, runs):
    """Outputs of each image, as a list of arrays per image."""
    pipeline = dali.Pipeline(batch_size, num_threads=2, device_id=None)
    with pipeline:
        pipeline.set_outputs(*nodes())
    pipeline.build()
    images = []
    for _ in range(runs):
        outputs = pipeline.run()
        images += [[np.array(output.at(place)) for output in outputs] for place in range(batch_size)]
    return images


def check_objects(record, boxes, labels):
    expected, classes = record.objects()
    assert boxes.shape == (len(expected), 4) and labels.tolist() == classes.tolist()
    np.testing.assert_allclose(boxes * ([record.width, record.height] * 2), expected, atol=1e-3)


@pytest.mark.parametrize("format", FORMATS)
def test_dali_gets_the_records_in_the_order_asked_for(shapes, tmp_path, format):
    dataset = packed(shapes, tmp_path / "out", format)
    order = [7, 0, 11, 3, 3, 10, 5]
    images = run(lambda: record_source(dataset.records, order), 4, 3)
    assert [index.tolist() for *_, index in images] == [[k] for k in order + [5] * 5]
    for picture, boxes, labels, index in images:
        record = dataset.records[index[0]]
        assert picture.tobytes() == record.read()
        check_objects(record, boxes, labels)
        assert (boxes.dtype, labels.dtype) == (np.float32, np.int32)


def test_a_damaged_shard_is_told_where_the_pipeline_runs(shapes, tmp_path):
    dataset = packed(shapes, tmp_path / "out", "recordio")
    path = tmp_path / "out" / "train-00001-of-00003.rec"
    path.write_bytes(path.read_bytes()[:-100] + b"\0" * 100)
    with pytest.raises(UserError, match=re.escape(f"{path}: damaged at byte")):
        run(lambda: record_source(dataset.records, range(12)), 4, 3)


@needs_crc32c
def test_dalis_own_reader_goes_through_the_tfrecord_shards(coco128, tmp_path):
    from nvidia.dali import fn, tfrecord

    dataset = packed(coco128, tmp_path / "out", "tfrecord")
    shards = sorted((tmp_path / "out").glob("*.tfrecord"))
    sides = [f"image/object/bbox/{side}" for side in ("xmin", "ymin", "xmax", "ymax")]
    features = {
        "image/encoded": tfrecord.FixedLenFeature((), tfrecord.string, ""),
        "image/source_id": tfrecord.FixedLenFeature((), tfrecord.string, ""),
        "image/object/class/label": tfrecord.VarLenFeature(tfrecord.int64, 0),
        "image/object/is_crowd": tfrecord.VarLenFeature(tfrecord.int64, 0),
        **{side: tfrecord.VarLenFeature(tfrecord.float32, 0.0) for side in sides},
    }

    def nodes():
        found = fn.readers.tfrecord(
            path=[str(path) for path in shards],
            index_path=[str(path.with_suffix(".idx")) for path in shards],
            features=features,
        )
        boxes = fn.stack(*(found[side] for side in sides), axis=1)
        names = ("encoded", "source_id", "object/class/label", "object/is_crowd")
        return (*(found[f"image/{name}"] for name in names), boxes)

    for record, (picture, image_id, labels, crowd, boxes) in zip(dataset.records, run(nodes, 16, 8)):
        assert picture.tobytes() == record.read() and int(image_id.tobytes()) == record.image_id
        assert crowd.tolist() == record.crowd.tolist()
        check_objects(record, boxes[crowd == 0], labels[crowd == 0] - 1)


def test_dalis_own_reader_goes_through_a_recordio_shard(coco128, tmp_path):
    from nvidia.dali import fn

    dataset = packed(coco128, tmp_path / "out", "recordio", shards=1)
    stem = str(tmp_path / "out" / "train-00000-of-00001")

    def nodes():
        return fn.readers.mxnet(path=[f"{stem}.rec"], index_path=[f"{stem}.idx"])

    for record, (picture, label) in zip(dataset.records, run(nodes, 16, 8)):
        assert picture.tobytes() == record.read()
        objects = label[2:].reshape(-1, 6)
        assert objects[:, 5].tolist() == record.crowd.tolist()
        real = objects[objects[:, 5] == 0]
        check_objects(record, real[:, 1:5], real[:, 0])
