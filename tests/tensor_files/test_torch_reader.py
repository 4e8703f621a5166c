"""Files that real torch.save wrote, read bit for bit (tests/vectors/make_torch_files.py made them)."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from places import VECTORS

from gluon_ssd.convert import read_torch
from gluon_ssd.errors import UserError
from gluon_ssd.tensor_files.reading import kind_of

FOLDER = VECTORS / "torch"
CASES = ["types", "views", "nested", "parameters", "training", "whole"]


@pytest.mark.parametrize("suffix", ["", "_legacy"])
@pytest.mark.parametrize("case", CASES)
def test_reads_what_torch_wrote(case, suffix):
    state = read_torch(FOLDER / f"{case}{suffix}.pth")
    with np.load(FOLDER / f"{case}.npz") as expected:
        assert set(state) == set(expected.files)
        for name, array in expected.items():
            assert (state[name].dtype, state[name].shape) == (array.dtype, array.shape)
            assert state[name].tobytes() == array.tobytes()


def test_bfloat16_becomes_float32_of_the_same_values():
    state = read_torch(FOLDER / "types.pth")
    assert state["bfloat16"].dtype == np.float32
    assert state["bfloat16"].ravel()[:3].tolist() == [-300.0, -264.0, -226.0]


def test_tensors_of_one_storage_share_memory():
    state = read_torch(FOLDER / "views.pth")
    state["base"][50] = -1
    assert state["tail"].tolist() == [-1, 51, 52, 53, 54, 55, 56, 57, 58, 59]


def test_only_the_network_of_a_training_checkpoint_is_read():
    state = read_torch(FOLDER / "training.pth")
    assert list(state)[:2] == ["0.weight", "0.bias"]
    assert not any("optimizer" in name or "momentum" in name for name in state)


def test_a_type_without_a_storage_class():
    assert read_torch(FOLDER / "unsigned.pth")["unsigned"].tolist() == [1, 65535]


def test_the_parameters_of_a_torchscript_program():
    state = read_torch(FOLDER / "scripted.pt")
    with np.load(FOLDER / "scripted.npz") as expected:
        assert set(state) == set(expected.files) and "0.1.running_var" in state
        assert all(state[name].tobytes() == array.tobytes() for name, array in expected.items())


def test_the_class_of_a_module_is_not_imported(monkeypatch):
    monkeypatch.setattr("builtins.__import__", lambda name, *args: pytest.fail(f"{name} was imported"))
    for suffix in ("", "_legacy"):
        assert "model.1.running_var" in read_torch(FOLDER / f"whole{suffix}.pth")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("tensor.pth", "it holds one tensor without a name, not a state dict"),
        ("script.pt", "it is a TorchScript program without parameters; save its state_dict() instead"),
    ],
)
def test_refuses_what_is_no_state_dict(file, message):
    with pytest.raises(UserError) as error:
        read_torch(FOLDER / file)
    assert str(error.value).startswith(f"{FOLDER / file}: cannot be read as a PyTorch checkpoint: ")
    assert message in str(error.value)


def rewrite(source, target, changes, compression=zipfile.ZIP_STORED):
    """Copy a zip, with the contents of some of its members changed, or None to leave one out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        root = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            data = changes.pop(name[len(root) + 1 :], old.read(name))
            if data is not None:
                new.writestr(name, data)
        for name, data in changes.items():
            new.writestr(f"{root}/{name}", data)
    return target


def test_big_endian_storages_are_turned(tmp_path):
    with zipfile.ZipFile(FOLDER / "parameters.pth") as archive:
        data = np.frombuffer(archive.read("parameters/data/1"), "<f4")
        first = np.frombuffer(archive.read("parameters/data/0"), "<f4")
    changes = {
        "byteorder": b"big",
        "data/0": first.astype(">f4").tobytes(),
        "data/1": data.astype(">f4").tobytes(),
    }
    path = rewrite(FOLDER / "parameters.pth", tmp_path / "big.pth", changes)
    assert read_torch(path)["conv.bias"].tobytes() == data.tobytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"byteorder": b"middle"}, "byte order middle"),
        ({"data.pkl": None}, "the zip holds no data.pkl"),
        ({"data/0": None}, "storage 0 is not there, its tensors need 432 bytes"),
        ({"data/0": b"\0" * 428}, "storage 0 is 428 bytes, its tensors need 432 bytes"),
        ({"../../evil": b"x"}, "the zip holds parameters/../../evil, a path out of it"),
        ({"data.pkl": b""}, "damaged pickle"),
        ({"data.pkl": b"\x80\x02}q\0"}, "damaged pickle"),
    ],
)
def test_refuses_a_damaged_zip(tmp_path, changes, message):
    path = rewrite(FOLDER / "parameters.pth", tmp_path / "bad.pth", dict(changes))
    with pytest.raises(UserError, match="^" + str(path)) as error:
        read_torch(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_refuses_compressed_members(tmp_path):
    path = rewrite(
        FOLDER / "parameters.pth", tmp_path / "bomb.pth", {"data/0": b"\0" * 432}, zipfile.ZIP_DEFLATED
    )
    with pytest.raises(UserError, match="is compressed, which torch.save never does"):
        read_torch(path)


def test_refuses_a_member_that_stands_twice(tmp_path):
    path = Path(shutil.copy(FOLDER / "parameters.pth", tmp_path / "twice.pth"))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("parameters/data/0", b"\0" * 432)
    with pytest.raises(UserError, match="twice"):
        read_torch(path)


@pytest.mark.parametrize("file", ["types.pth", "types_legacy.pth", "training_legacy.pth", "whole.pth"])
def test_a_file_cut_anywhere_is_refused(tmp_path, file):
    data = (FOLDER / file).read_bytes()
    path = tmp_path / "cut.pth"
    for length in range(0, len(data) - 1, 97):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="cannot be read as a PyTorch checkpoint"):
            read_torch(path)


@pytest.mark.parametrize("file", ["parameters.pth", "training_legacy.pth", "whole_legacy.pth"])
def test_no_changed_byte_brings_another_exception(tmp_path, file):
    data = bytearray((FOLDER / file).read_bytes())
    path = tmp_path / "changed.pth"
    for position in range(0, len(data), 7):
        for value in (data[position] ^ 0xFF, data[position] ^ 0x01):
            kept, data[position] = data[position], value
            path.write_bytes(data)
            data[position] = kept
            try:
                read_torch(path)
            except UserError as error:
                assert "\n" not in str(error)


def test_missing_folder_and_text(tmp_path):
    with pytest.raises(UserError, match="gone.pth: no such file"):
        read_torch(tmp_path / "gone.pth")
    with pytest.raises(UserError, match="is a folder, not a PyTorch checkpoint"):
        read_torch(tmp_path)
    text = tmp_path / "page.pth"
    text.write_text("<html>Not Found</html>")
    with pytest.raises(UserError, match="neither the zip nor the legacy format of torch.save"):
        read_torch(text)
    tar = tmp_path / "old.pth"
    tar.write_bytes(b"sys_info".ljust(257, b"\0") + b"ustar".ljust(255, b"\0"))
    with pytest.raises(UserError, match="the tar format of PyTorch before 0.2"):
        read_torch(tar)


def test_a_file_that_is_cut_short_while_it_is_read_ends_no_process(python, tmp_path):
    path = shutil.copy(FOLDER / "types_legacy.pth", tmp_path / "a.pth")
    code = (
        "import os\n"
        "import gluon_ssd.tensor_files.torch_reader as reader\n"
        "original = reader.load_pickle\n"
        "def cut(*given):\n"
        f"    os.truncate({str(path)!r}, 0)\n"
        "    return original(*given)\n"
        "reader.load_pickle = cut\n"
        f"print(len(reader.read_torch({str(path)!r})) > 1)\n"
    )
    done = python(code)
    assert (done.status, done.out) == (0, "True\n"), done.err


def test_a_file_that_goes_while_its_kind_is_found_out_is_told_of(tmp_path, monkeypatch):
    path = Path(shutil.copy(FOLDER / "types.pth", tmp_path))

    def gone(path):
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(zipfile, "ZipFile", gone)
    with pytest.raises(UserError, match=r"types.pth: no such file"):
        kind_of(path)
