"""Record files that are not as they should be, through the command line."""

import hashlib
import json
import re
import shutil

import pytest
from small import TRAIN, refused, write_set
from tf_message import needs_crc32c

from gluon_ssd.data import EvalTransform, NativeLoader, Preprocess, open_dataset
from gluon_ssd.data.record_files.manifest import read_manifest
from gluon_ssd.data.record_files.prepare import prepare_records
from gluon_ssd.errors import UserError

AGAIN = "gluon-ssd prepare-records"
SHARD = "train-00001-of-00002"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("source") / "set")


@pytest.fixture
def packed(source, tmp_path):
    """Both splits of four images in two RecordIO shards."""
    for split in ("train", "val"):
        prepare_records(open_dataset(source, split), tmp_path / "out", split, shards=2)
    return tmp_path / "out"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_shard_cut_in_half(cli, packed):
    path = packed / f"{SHARD}.rec"
    size = path.stat().st_size
    cut(path)
    refused(cli(*TRAIN, "--data", packed), f"{path}: has {size // 2} bytes, but {size}", AGAIN)


@needs_crc32c
def test_a_tfrecord_shard_cut_in_half(cli, source, tmp_path):
    path = prepare_records(open_dataset(source), tmp_path / "tf", "train", format="tfrecord", shards=2)
    shard = path.with_name(f"{SHARD}.tfrecord")
    cut(shard)
    refused(cli(*TRAIN, "--data", tmp_path / "tf"), f"{shard}: has ", AGAIN)


@pytest.mark.parametrize("suffix", [".rec", ".idx"])
def test_a_missing_shard_or_index(cli, small_run, packed, suffix):
    path = packed / f"val-00000-of-00002{suffix}"
    path.unlink()
    refused(
        cli("val", small_run, "--data", packed, "--output", "val"),
        f"{path}: named by {packed}/records_val.json, but no such file",
        AGAIN,
    )


@pytest.mark.parametrize("how", ["other", "cut"])
def test_an_index_that_is_not_the_shards(cli, packed, how):
    path = packed / f"{SHARD}.idx"
    if how == "other":
        shutil.copy(packed / "train-00000-of-00002.idx", path)
    else:
        cut(path)
    shard = packed / f"{SHARD}.rec"
    refused(cli(*TRAIN, "--data", packed), f"{path}: is not the index that belongs to {shard}", AGAIN)


def test_a_manifest_that_is_damaged_or_of_another_version(cli, packed):
    path = packed / "records_train.json"
    good = path.read_bytes()
    for data, part in (
        (b"", "not a manifest of record files, or damaged at its beginning"),
        (b"{}", "not a manifest of record files"),
        (good[5:], "not a manifest of record files"),
        (good[: len(good) // 2], "damaged, its checksum is wrong"),
        (good.replace(b'"width":64', b'"width":65', 1), "damaged, its checksum is wrong"),
        (good.replace(b'_records": 1,', b'_records": 2,', 1), "is of version 2, and 1 is read here"),
    ):
        assert data != good
        path.write_bytes(data)
        refused(cli(*TRAIN, "--data", packed), f"{path}: {part}", AGAIN)


@pytest.mark.parametrize(
    "good, other",
    [
        (b'"shards":', b'"splits":'),
        (b'"shards":', b'"shards":5,"":'),
        (b'"shard":0', b'"shard":9'),
        (b'"shard":0', b'"shard":"0"'),
        (b'"offset":0', b'"offset":-1'),
        (b'"offset":0', b'"offset":4611686018427387904'),
        (b'"length":', b'"length":null,"":'),
        (b'"crc32":', b'"crc33":'),
        (b'"file":"', b'"file":"../packed/'),
        (b'"format":"recordio"', b'"format":"zip"'),
        (b'"format":"recordio"', b'"format":[]'),
    ],
)
def test_a_manifest_of_another_content_whose_checksum_is_right(packed, good, other):
    """Such as damage by whoever writes the checksum, too; a shard may not be outside of the folder."""
    path = packed / "records_train.json"
    head, body = path.read_bytes().split(b'", ', 1)
    changed = body.replace(good, other, 1)
    assert changed != body
    path.write_bytes(head[:-64] + hashlib.sha256(changed).hexdigest().encode() + b'", ' + changed)
    with pytest.raises(UserError, match="its shards or their pictures are not as they were written"):
        read_manifest(packed, "train")


def test_a_missing_manifest(cli, packed):
    (packed / "records_train.json").unlink()
    refused(cli(*TRAIN, "--data", packed), f"{packed}: no record files for split 'train'; packed are: val")
    (packed / "records_val.json").unlink()
    refused(cli(*TRAIN, "--data", packed), f"{packed}: holds no records_train.json", "copy it too", AGAIN)


def test_record_files_beside_a_coco_data_set_do_no_harm(source, tmp_path):
    root = shutil.copytree(source, tmp_path / "set")
    (root / "old.rec").write_bytes(b"anything")
    (root / "records_2020.json").write_text("{}")
    assert len(open_dataset(root)) == 4


def load(dataset, **options):
    with NativeLoader(dataset, EvalTransform(Preprocess(size=(32, 32))), 2, **options) as loader:
        return [image for batch in loader for image in batch.image_ids.tolist()]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", ["frame", "picture"])
def test_a_shard_that_is_damaged_inside_is_told_when_it_is_read(packed, workers, place):
    dataset, path = open_dataset(packed), packed / f"{SHARD}.rec"
    picture = dataset.manifest.pictures[3]
    data = bytearray(path.read_bytes())
    data[picture.offset + (1 if place == "frame" else picture.length // 2)] ^= 1
    path.write_bytes(data)
    message = rf"{re.escape(str(path))}: damaged at byte {picture.offset} \(.*{AGAIN}"
    with pytest.raises(UserError, match=message):
        load(dataset, workers=workers)
    with pytest.warns(UserWarning, match=f"image skipped: {message}"):
        assert load(dataset, workers=workers, on_bad_image="skip") == [1, 2, 3, 1]


def test_a_shard_that_vanishes_or_shrinks_after_opening(packed):
    dataset = open_dataset(packed)
    (packed / f"{SHARD}.rec").unlink()
    with pytest.raises(UserError, match=rf"{SHARD}\.rec: cannot be read \(No such file"):
        load(dataset)
    dataset = open_dataset(packed, "val")
    cut(packed / "val-00000-of-00002.rec")
    with pytest.raises(UserError, match=r"val-00000-of-00002\.rec: ends within the record at byte \d+"):
        load(dataset)


def test_a_bad_picture_is_named_by_shard_and_name(source, tmp_path):
    root = shutil.copytree(source, tmp_path / "set")
    (root / "train" / "3.jpg").write_bytes(b"no picture")
    prepare_records(open_dataset(root), tmp_path / "out", "train", shards=1)
    with pytest.raises(UserError, match=r"train-00000-of-00001\.rec/3\.jpg: not a picture that can be"):
        load(open_dataset(tmp_path / "out"))


def test_what_cannot_be_packed(cli, source, packed, tmp_path):
    refused(cli("prepare-records", "gone", "new"), "data folder gone does not exist")
    refused(cli("prepare-records", source, source), "is the data set itself", "another folder")
    refused(cli("prepare-records", source, packed), "holds records_train.json already", "--overwrite")
    refused(cli("prepare-records", source, "new", "--shards", 5), "5 shards of 4 images", "between 1 and 4")
    few = shutil.copytree(source, tmp_path / "few")
    content = json.loads((few / "annotations" / "val.json").read_text())
    kept = {"images": content["images"][:1], "annotations": []}
    (few / "annotations" / "val.json").write_text(json.dumps({**content, **kept}))
    refused(cli("prepare-records", few, "new", "--shards", 2), "val: 2 shards of 1 images")
    refused(cli("prepare-records", source, "new", "--shards", 0), "--shards")
    refused(cli("prepare-records", source, "new", "--format", "zip"), "zip", "recordio")
    refused(cli("prepare-records", source, "new", "--images", "x"), "--split train or val")
    (tmp_path / "file").write_text("")
    refused(cli("prepare-records", source, "file"), "file: is a file; give a folder")
    refused(
        cli("prepare-records", source, "file/new"), "file/new: the record files cannot be written: Not a dir"
    )
    root = shutil.copytree(source, tmp_path / "set")
    (root / "val" / "4.jpg").write_bytes(b"")
    refused(cli("prepare-records", root, "new", "--split", "val"), "4.jpg: the file is empty")
    (root / "val" / "4.jpg").unlink()
    refused(cli("prepare-records", root, "new"), "1 of 4 images", f"({root}/val/4.jpg)")
    assert not (tmp_path / "new").exists()


def test_tfrecord_without_its_package_names_the_extra(cli, source, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "google_crc32c", None)
    refused(
        cli("prepare-records", source, "new", "--format", "tfrecord"),
        "google_crc32c is not installed",
        "gluon_ssd[tfrecord]",
    )
    assert not (tmp_path / "new").exists()


def test_the_manifest_is_checked_before_it_is_believed(packed):
    path = packed / "records_train.json"
    content = json.loads(path.read_bytes())
    assert content["gluon_ssd_records"] == 1 and len(content["sha256"]) == 64
    assert [row["file"] for row in content["shards"]] == [f"train-0000{k}-of-00002.rec" for k in range(2)]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="checksum is wrong"):
        open_dataset(packed)
