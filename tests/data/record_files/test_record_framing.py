"""The wrapping of records, against MXNet, protobuf, TensorBoard and known bytes."""

import struct

import pytest
from tf_message import example_message, needs_crc32c

from gluon_ssd.data.record_files.framing import recordio_payload, tfrecord_frame, tfrecord_payload
from gluon_ssd.data.record_files.tf_example import encode_example

MAGIC = struct.pack("<I", 0xCED7230A)


@pytest.mark.parametrize(
    "payload",
    [
        b"a",
        b"four",
        b"seven..",
        MAGIC,
        MAGIC * 3,
        b"head" + MAGIC + b"tail.",
        b"x" + MAGIC + b"not aligned",
        b"1234" * 5000 + MAGIC + b"z" * 4001 + MAGIC,
    ],
)
def test_what_mxnet_writes_is_unwrapped_also_with_the_magic_number_inside(tmp_path, payload):
    import mxnet as mx

    path = str(tmp_path / "a.rec")
    writer = mx.recordio.MXRecordIO(path, "w")
    writer.write(payload)
    writer.close()
    data = (tmp_path / "a.rec").read_bytes()
    assert recordio_payload(data) == payload
    with pytest.raises(ValueError):
        recordio_payload(data[:-4])
    with pytest.raises(ValueError):
        recordio_payload(data + data)


@pytest.mark.parametrize("data", [b"", b"\0" * 40, MAGIC, MAGIC + struct.pack("<I", 2 << 29 | 4) + b"abcd"])
def test_what_is_no_recordio_record_is_refused(data):
    with pytest.raises(ValueError):
        recordio_payload(data)


@needs_crc32c
def test_a_tfrecord_of_24_bytes_begins_like_every_event_file_of_tensorboard():
    frame = tfrecord_frame(b"a" * 24)
    assert frame[:12] == bytes.fromhex("1800000000000000a37f4b22")
    assert len(frame) == 24 + 16
    assert tfrecord_payload(frame) == b"a" * 24
    for wrong in (b"", frame[:-1], frame[1:], frame + b"\0"):
        with pytest.raises(ValueError):
            tfrecord_payload(wrong)


def test_an_example_has_the_bytes_that_the_wire_format_prescribes():
    # 0a: field 1, length-delimited; bytes are field 1 of a feature, floats 2, integers 3.
    assert encode_example({"a": [b"xy"]}).hex() == "0a0d0a0b0a016112060a040a027879"
    assert encode_example({"a": [1.0]}).hex() == "0a0f0a0d0a0161120812060a040000803f"
    assert encode_example({"a": [300, 1]}).hex() == "0a0e0a0c0a016112071a050a03ac0201"
    assert encode_example({"a": []}).hex() == "0a070a050a01611200"


def test_protobuf_reads_the_features_back():
    features = {
        "text": [b"", b"\xff\x00", "größe".encode()],
        "floats": [0.0, -1.5, 3e38],
        "integers": [0, 127, 128, -1, 2**63 - 1, -(2**63)],
        "none": [],
        "picture": [bytes(range(256)) * 400],
    }
    data = encode_example(features)
    assert data.endswith(features["picture"][0])
    found = example_message()()
    found.ParseFromString(data)
    assert set(found.features.feature) == set(features)
    read = found.features.feature
    assert list(read["text"].bytes_list.value) == features["text"]
    assert list(read["floats"].float_list.value) == pytest.approx(features["floats"])
    assert list(read["integers"].int64_list.value) == features["integers"]
    assert read["none"].WhichOneof("kind") is None
    assert list(read["picture"].bytes_list.value) == features["picture"]
