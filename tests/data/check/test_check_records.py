"""``gluon-ssd check`` on record files: what it finds in the set that they were packed from."""

import re
import shutil

import pytest
from PIL import Image
from small import edit, files, picture, refused, sound


@pytest.fixture(params=["recordio", "tfrecord"])
def pack(request, cli):
    """Pack the data set of a folder into the folder packed, two shards a split."""
    return lambda root, *more: cli(
        "prepare-records", root, "packed", "--shards", 2, "--format", request.param, *more
    )


def spoilt(tmp_path):
    """A set that can be packed and has much wrong with it, of pictures and of boxes."""
    root = sound(tmp_path / "set", count=6)
    shutil.copy(root / "train" / "1.jpg", root / "train" / "3.jpg")
    shutil.copy(root / "train" / "2.jpg", root / "val" / "4.jpg")
    (root / "train" / "4.jpg").write_bytes((root / "train" / "4.jpg").read_bytes()[:400])
    Image.fromarray(picture(48, 64)).save(root / "train" / "5.jpg")
    Image.fromarray(picture(64, 48, 7)).save(root / "train" / "6.jpg", "BMP")
    edit(root, "train", lambda content: content["annotations"][0].update(bbox=[1, 2, 0, 4]))
    return root


@pytest.mark.usefixtures("drawn_plots")
@pytest.mark.parametrize("decode", [(), ("--decode",)])
def test_in_a_packed_set_the_same_is_found(whole_check, pack, tmp_path, decode):
    root = spoilt(tmp_path)
    assert pack(root).status == 0
    outcome, found = whole_check(root, *decode)
    assert outcome.status == 1 and len(found) >= 6
    pictures = {name: data for name, data in files(tmp_path / "report").items() if name.endswith(".png")}
    before = files(tmp_path / "packed")
    shutil.rmtree(root)
    packed, found_packed = whole_check("packed", *decode)
    # What is in a record file has a name, what is a file has a path.
    names = outcome.out.replace(f"{root}/train/", "").replace(f"{root}/val/", "")
    assert (packed.status, packed.out.splitlines()) == (1, names.splitlines())
    assert found_packed == found
    assert files(tmp_path / "packed") == before
    assert {n: d for n, d in files(tmp_path / "report").items() if n.endswith(".png")} == pictures


def test_a_packed_training_split_by_itself(check, pack, tmp_path):
    assert pack(sound(tmp_path / "set"), "--split", "train").status == 0
    outcome, found = check("packed")
    assert (outcome.status, found) == (0, {})
    assert "no validation annotations found" in outcome.out


def test_a_damaged_picture_in_a_shard_is_corrupt(check, pack, tmp_path):
    pack(sound(tmp_path / "set"))
    shard = next(path for path in (tmp_path / "packed").glob("train-00001*") if path.suffix != ".idx")
    data = bytearray(shard.read_bytes())
    data[-40] ^= 255
    shard.write_bytes(data)
    outcome, found = check("packed")
    assert outcome.status == 1
    level, count, items = found["train", "images corrupt"]
    assert (level, count) == ("error", 1)
    assert re.fullmatch(rf"4\.jpg: .*{shard.name}: damaged at byte \d+ \(.*\)", items[0])


def test_record_files_that_are_not_complete_are_named(cli, pack, tmp_path):
    pack(sound(tmp_path / "set"))
    shard = next(path for path in (tmp_path / "packed").glob("train-00001*") if path.suffix != ".idx")
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) // 2])
    refused(cli("check", "packed"), f"{shard.name}: has {len(data) // 2} bytes, but {len(data)} were written")
    shard.unlink()
    refused(cli("check", "packed"), shard.name, "no such file")
    assert not (tmp_path / "runs").exists()
