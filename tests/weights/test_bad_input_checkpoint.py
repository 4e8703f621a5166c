"""Checkpoints that are damaged or of something else, and places that cannot be written."""

import contextlib
import errno
import json
import os
import resource
import shutil
import zipfile

import numpy as np
import pytest
from small import TRAIN, files, picture, refused, write_set

from gluon_ssd import load
from gluon_ssd.errors import UserError
from gluon_ssd.files import atomic_write
from gluon_ssd.model_zoo import get_model
from gluon_ssd.tensor_files.archive import read_archive, write_archive
from gluon_ssd.weights.checkpoint import read_checkpoint, save_checkpoint


@contextlib.contextmanager
def full_disk(limit):
    """No file may grow beyond ``limit`` bytes, as if the disk were full: the write itself fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def run(small_run, tmp_path):
    """A run folder that may be written into."""
    return shutil.copytree(small_run, tmp_path / "mine")


@pytest.fixture
def image(tmp_path):
    import cv2

    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), picture(64, 48))
    return path


def uses(run, image):
    """Every way of the command line to read a checkpoint."""
    last = run / "checkpoints" / "last.ckpt"
    return {
        "val": ("val", last, "--output", "out"),
        "predict": ("predict", image, "--weights", last, "--output", "out"),
        "resume": ("train", "--resume", "--output", run),
        "start": (*TRAIN, "--data", json.loads((run / "where.json").read_text()), "--weights", last),
    }


@pytest.mark.parametrize("verb", ["val", "predict", "resume", "start"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "flipped"])
def test_a_damaged_checkpoint(cli, run, shapes, image, tmp_path, verb, damage):
    (run / "where.json").write_text(json.dumps(str(shapes)))
    last = run / "checkpoints" / "last.ckpt"
    content = last.read_bytes()
    middle = len(content) // 2
    last.write_bytes(
        {
            "truncated": content[:middle],
            "empty": b"",
            "text": b"weights\n",
            "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        }[damage]
    )
    before = files(tmp_path)
    refused(cli(*uses(run, image)[verb]), "last.ckpt", "damaged; use another checkpoint")
    assert files(tmp_path) == before


def test_no_damage_makes_anything_but_a_user_error(tmp_path):
    path = tmp_path / "a.ckpt"
    write_archive(path, {"x": np.arange(6, dtype=np.float32), "y": np.zeros((2, 3))}, {"a": 1})
    content = path.read_bytes()
    changed = [content[:length] for length in range(0, len(content), 7)]
    changed += [content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :] for at in range(len(content))]
    for data in changed:
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            arrays, _ = read_archive(path)
            assert all(array.dtype.kind == "f" for array in arrays.values())


def test_an_archive_of_something_else(cli, small_run, image, tmp_path):
    np.savez(tmp_path / "numbers.npz", a=np.zeros(3))
    write_archive(tmp_path / "other.ckpt", {}, {"format": 1})
    write_archive(tmp_path / "newer.ckpt", {}, {"format": 2})
    write_archive(tmp_path / "list.ckpt", {}, [])
    (tmp_path / "net.params").write_bytes(b"weights")
    for name, part in (
        ("numbers.npz", "not a checkpoint of this library"),
        ("other.ckpt", "not a checkpoint of this library; it lacks 'model'"),
        ("newer.ckpt", "written by a newer version"),
        ("list.ckpt", "is not an object"),
        ("net.params", f"net.params {tmp_path / 'net.ckpt'}"),
    ):
        refused(cli("predict", image, "--weights", tmp_path / name), name, part)


def test_nothing_where_a_checkpoint_should_be(cli, image, tmp_path):
    (tmp_path / "folder").mkdir()
    refused(cli("predict", image, "--weights", "gone"), "gone: no such checkpoint or run folder")
    refused(cli("val", "folder"), "folder: no checkpoint in this folder", "checkpoints/best.ckpt")
    refused(cli("val", "."), "no checkpoint in this folder")


def test_a_checkpoint_of_another_model(cli, run, shapes, tmp_path):
    best = run / "checkpoints" / "best.ckpt"
    before = files(tmp_path)
    other = ("train", "--recipe", "ssd_resnet34/smoke", "--data", shapes, "--batch-size", 2)
    refused(
        cli(*other, "--weights", best, "--output", "run"),
        f"{best}: holds a ssd_tiny, not a ssd_resnet34",
    )
    refused(cli(*other, "--resume", "--output", run), "holds a run of ssd_tiny, not of ssd_resnet34")
    assert files(tmp_path) == before


def test_parameters_that_do_not_fit_their_model(cli, image, tmp_path):
    net = get_model("ssd_tiny", classes=["cat"])
    net.classes = ("cat", "dog")
    save_checkpoint(tmp_path / "odd.ckpt", net)
    refused(
        cli("predict", image, "--weights", "odd.ckpt"),
        "odd.ckpt: does not fit ssd_tiny: ssd0_convpredictor0_conv0_weight is (",
    )


def test_a_checkpoint_of_other_classes(cli, run, tmp_path):
    other = write_set(tmp_path / "set")
    before = files(tmp_path)
    refused(cli("val", run, "--data", other), "val.json: unknown class '", "'; known: cat, dog")
    refused(
        cli("train", "--resume", "--output", run, "--data", other),
        "last.ckpt: was trained on other classes",
        "use --weights with another --output",
    )
    assert files(tmp_path) == before
    # To start from it is what --weights is for.
    assert cli(*TRAIN, "--data", other, "--weights", run).status == 0


@pytest.mark.parametrize("place", ["file/run", "/proc/run", "file"])
def test_a_folder_that_cannot_be_written(cli, small_run, shapes, image, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    before = files(tmp_path)
    for arguments in (
        (*TRAIN, "--data", shapes, "--output", place),
        ("val", small_run, "--output", place),
        ("predict", image, "--weights", small_run, "--output", place),
        ("check", shapes, "--output", place),
    ):
        refused(cli(*arguments), f"{place}: cannot be written", "choose another --output")
    assert files(tmp_path) == before


def test_a_log_that_cannot_be_written(cli, shapes, tmp_path):
    (tmp_path / "run" / "train.log").mkdir(parents=True)
    refused(cli(*TRAIN, "--data", shapes), "train.log: cannot be written: Is a directory")


def test_a_run_is_not_written_over(cli, run, shapes, tmp_path):
    before = files(tmp_path)
    refused(cli(*TRAIN, "--data", shapes, "--output", run), "holds a run already; go on with --resume")
    assert files(tmp_path) == before


@pytest.mark.parametrize("limit", [0, 40, 4096, 100_000, 2_000_000])
def test_a_disk_that_is_full(tmp_path, limit):
    path = tmp_path / "last.ckpt"
    net = get_model("ssd_tiny", classes=["cat"])
    save_checkpoint(path, net)
    before = path.read_bytes()
    assert len(before) > 2_000_000
    message = "^.*last.ckpt: cannot be written: .*; what was there before is untouched$"
    with pytest.raises(UserError, match=message), full_disk(limit):
        save_checkpoint(path, net)
    assert files(tmp_path) == {"last.ckpt": before}
    assert load(path).classes == ("cat",)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_tells_late_that_it_is_full(tmp_path, monkeypatch, call):
    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.txt"
    path.write_text("before")
    monkeypatch.setattr(os, call, fail)
    message = "No space left on device; what was there before is untouched"
    with pytest.raises(UserError, match=message), atomic_write(path) as temporary:
        temporary.write_text("after")
    assert files(tmp_path) == {"a.txt": b"before"}


def test_a_disk_that_fills_while_training(cli, run, tmp_path):
    before = files(run / "checkpoints")
    with full_disk(1_000_000):
        result = cli("train", "--resume", "--output", run, "--epochs", 2, "--max-steps", 3)
    refused(result, "last.ckpt: cannot be written: File too large; what was there before is untouched")
    assert files(run / "checkpoints") == before
    assert read_checkpoint(run / "checkpoints" / "last.ckpt").progress.step == 2
    # With room again it goes on.
    assert cli("train", "--resume", "--output", run, "--epochs", 2, "--max-steps", 3).status == 0
    assert read_checkpoint(run / "checkpoints" / "last.ckpt").progress.step == 3


def test_a_disk_that_is_full_for_the_log(cli, run, tmp_path):
    size = (run / "train.log").stat().st_size
    with full_disk(size + 10):
        result = cli("train", "--resume", "--output", run, "--epochs", 2, "--max-steps", 3)
    refused(result, "cannot be written: File too large")


def test_a_compressed_archive_is_read_unless_it_could_fill_the_memory(small_run, tmp_path):
    path, last = tmp_path / "small.ckpt", small_run / "checkpoints" / "last.ckpt"
    with zipfile.ZipFile(last) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, True, 1) as small:
        for name in whole.namelist():
            small.writestr(name, whole.read(name))
    assert read_checkpoint(path).parameters.keys() == read_checkpoint(last).parameters.keys()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, True, 1) as bomb:
        bomb.writestr("arrays/x.npy", bytes(1 << 26))
    with pytest.raises(UserError, match="not a checkpoint of this library, or damaged"):
        read_checkpoint(path)
