"""Files made to do harm: each is refused with one line, and nothing in it runs."""

import argparse
import builtins
import collections
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from gluon_ssd.convert import read_pickle, read_torch, read_weights
from gluon_ssd.errors import UserError
from gluon_ssd.tensor_files.archive import read_archive
from gluon_ssd.tensor_files.safe_pickle import Refused, load_pickle
from gluon_ssd.tensor_files.torch_pickle import ALLOWED, ElementType, SavedObject, Storage
from gluon_ssd.tensor_files.torch_state import find_state

LEGACY = [b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x02M\xe9\x03."]
SYSTEM = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)


class Call:
    """An object whose unpickling calls a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Local:
    pass


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


# An object of an unknown class, and the beginning of its state: what follows is the value of `_modules`.
MODULE = b"\x80\x02cgone\nNet\n)\x81q\0}" + text(b"_modules")


def hostile(folder):
    """Pickles by name; each would leave the file ``folder``/ran, were it run."""
    mark = f"touch {folder / 'ran'}"
    return {
        "os.system": pickle.dumps({"w": Call(os.system, mark)}, 2),
        "os.system in protocol 0": pickle.dumps({"w": Call(os.system, mark)}, 0),
        "os.system in protocol 4": pickle.dumps({"w": Call(os.system, mark)}, 4),
        "builtins.eval": pickle.dumps({"w": Call(builtins.eval, f"__import__('os').system({mark!r})")}, 2),
        "getattr": pickle.dumps({"w": Call(getattr, "x", "upper")}, 2),
        "a class from a module": pickle.dumps({"w": Local()}, 2),
        "INST": b"(S'" + mark.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + mark.encode() + b"'\no.",
        "an extension": b"\x80\x02\x82\x01.",
        "the persistent id of a string": b"\x80\x02X\x01\0\0\0aQ.",
        "a call of a container": b"\x80\x02})R.",
        "a call of a tensor's type": b"\x80\x02ctorch\nFloatStorage\n)R.",
        "a state for a string": b"\x80\x02X\x01\0\0\0a}b.",
        "a dotted name": b"\x80\x04\x8c\x0bcollections\x8c\x19OrderedDict.fromkeys.mro\x93.",
        "a name with a line break": b"\x80\x04\x8c\x02o\ns\x8c\x06system\x93.",
        "an unhashable key": b"\x80\x02}]K\x01s.",
        "a key many tuples deep": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.",
        "a name many tuples deep": b"\x80\x04\x8c\x01o)" + b"\x85" * 200_000 + b"\x93.",
        "a list many deep": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
        "a text of 2**62 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
        "bytes of 2**40": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
        "a memo at 2**32 - 1": b"\x80\x02]r\xff\xff\xff\xff.",
        "no value": b"\x80\x02.",
        "a mark as value": b"\x80\x02(.",
        "items without a list": b"\x80\x02(K\x01e.",
        "an object of a function": b"\x80\x02cos\nsystem\n" + text(mark.encode()) + b"\x85\x81.",
        "an object of a function with a state": b"\x80\x02cos\nsystem\n)\x81" + text(mark.encode()) + b"b.",
        "a call inside a module": MODULE + b"cos\nsystem\n" + text(mark.encode()) + b"\x85Rsb.",
        "a module that is called": b"\x80\x02cgone\nNet\n)R.",
        "a module that is its own part": MODULE + b"}(X\1\0\0\0ah\0usb.",
        "a class of module": b"\x80\x02(X\6\0\0\0modulecos\nsystem\nNNtQ.",
        "a number of many digits": b"\x80\x02I" + b"9" * 5000 + b"\n.",
    }


@pytest.fixture(params=range(32))
def case(request, tmp_path):
    name, data = list(hostile(tmp_path).items())[request.param]
    yield name, data
    assert not (tmp_path / "ran").exists()


def check(read, path):
    with pytest.raises(UserError) as error:
        read(path)
    text = str(error.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < 300 + len(str(path))


def test_there_are_as_many_cases_as_are_run(tmp_path):
    assert len(hostile(tmp_path)) == 32


def test_in_a_zip(case, tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", case[1])
        archive.writestr("archive/version", b"3\n")
    check(read_torch, path)
    check(read_weights, path)


def test_in_a_legacy_file(case, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"".join(LEGACY) + SYSTEM + case[1] + pickle.dumps([], 2))
    check(read_torch, path)


def test_instead_of_the_legacy_header(case, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(LEGACY[0] + case[1])
    check(read_torch, path)


def test_in_a_backbone_pickle(case, tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(case[1])
    check(read_pickle, path)
    check(read_weights, path)


# Each begins with something long that is stored in the memo, and ends with what uses it again and again.
LONG = 100_000
LIST = b"](" + b"N" * LONG + b"e"
PAIRS = b"](" + b"".join(b"M" + struct.pack("<H", k) + b"N\x86" for k in range(5_000)) + b"e"
NESTED = b"]q\0" + b"".join(b"](h%ch%ce" % (k, k) + b"q%c" % (k + 1) for k in range(60))
REPEATING = {
    "a list": b"c__builtin__\nset\nq\0" + LIST + b"\x85q\x01](" + b"h\0h\x01R" * 20_000 + b"e.",
    "a dictionary": b"ccollections\nOrderedDict\nq\0" + PAIRS + b"\x85q\x01](" + b"h\0h\x01R" * 9_000 + b"e.",
    "a text": b"c_codecs\nencode\nq\0"
    + text(b"x" * LONG)
    + text(b"latin1")
    + b"\x86q\x01]("
    + b"h\0h\x01R" * 20_000
    + b"e.",
    "the arguments": b"cnumpy\ndtype\nq\0("
    + text(b"f4")
    + b"N" * LONG
    + b"tq\x01]("
    + b"h\0h\x01R" * 9_000
    + b"e.",
    "the state of arrays": b"cnumpy.core.multiarray\n_reconstruct\nq\0cnumpy\nndarray\nNN\x87q\x01"
    + b"(K\x01M\x50\xc3cnumpy\ndtype\n"
    + text(b"u1")
    + b"\x85R\x89"
    + text(b"x" * 50_000)
    + b"tq\x02]("
    + b"h\0h\x01Rh\x02b" * 20_000
    + b"e.",
    "the text of a list": NESTED + text(b"x") + b"\x93.",
    "a long key": b"(" + b"N" * LONG + b"tq\x00}(" + b"h\0N" * 20_000 + b"u.",
}


@pytest.mark.parametrize("name", REPEATING)
def test_a_small_pickle_that_repeats_a_long_value(tmp_path, name):
    path = tmp_path / "a.pickle"
    path.write_bytes(b"\x80\x04" + REPEATING[name])
    assert path.stat().st_size < 300_000
    tracemalloc.start()
    try:
        check(read_pickle, path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 27
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["gone Net", "__torch__.gone Net"])
def test_what_modules_share_is_read_once(kind):
    shared, parts = {str(k): np.zeros(1) for k in range(2000)}, {}
    for number in range(2000):
        part = parts[str(number)] = SavedObject(kind)
        part.set_state(shared if part.scripted else {"_parameters": shared})
    net = SavedObject(kind)
    net.set_state(parts if net.scripted else {"_modules": parts})
    assert len(find_state(net)) == 2000


def test_the_shape_of_tensors_is_not_repeated_without_end():
    sizes = b"](" + b"K\0" * 50_000 + b"eq\x01"
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQq\x02"
    begin = b"\x80\x02ctorch._utils\n_rebuild_tensor\nq\x00" + sizes + storage + b"("
    data = begin + b"h\x02K\0h\x01h\x01tq\x03](" + b"h\0h\x03R" * 20_000 + b"e."
    with pytest.raises(Refused, match="repeated until it fills the memory"):
        load_pickle(data, ALLOWED, Storage.from_id)


def test_the_key_of_a_storage_is_no_number_without_end():
    with pytest.raises(Refused, match="a storage called"):
        Storage.from_id(("storage", ElementType("f4"), 1 << 9999, "cpu", 4))


def test_what_honest_files_repeat_is_far_from_the_limit():
    array = np.zeros((2, 3), np.float32)
    value = {f"layer{k}.weight": array.copy() for k in range(2000)}
    value.update(shared=[array] * 999, order=collections.OrderedDict.fromkeys(range(999), (3, 3)))
    for protocol in range(6):
        assert len(load_pickle(pickle.dumps(value, protocol), ALLOWED)) == 2002


def test_an_array_of_objects(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"w": np.array([Call(os.system, "true")], dtype=object)}))
    check(read_pickle, path)
    path.write_bytes(pickle.dumps({"w": np.array([None, None], dtype=object)}))
    check(read_pickle, path)
    path.write_bytes(pickle.dumps({"w": np.zeros(2, [("a", "f4")])}))
    check(read_pickle, path)


def test_an_array_that_says_more_than_it_holds(tmp_path):
    data = pickle.dumps({"w": np.arange(4, dtype=np.int8)}, 2)
    assert data.count(b"K\x04") >= 1
    path = tmp_path / "a.pickle"
    path.write_bytes(data.replace(b"K\x04\x85", b"K\xff\x85"))
    check(read_pickle, path)


def tensor_pickle(count, offset, shape, strides, kind="FloatStorage"):
    """A data.pkl of one tensor with these numbers."""

    def number(value):
        data = value.to_bytes(10, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\0\0\0storagectorch\n"
        + kind.encode()
        + b"\nX\x01\0\0\x000X\x03\0\0\0cpu"
        + number(count)
        + b"tQ"
    )
    arguments = b"(" + storage + number(offset) + numbers(shape) + numbers(strides) + b"\x89Nt"
    return b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


@pytest.mark.parametrize(
    ("count", "offset", "shape", "strides"),
    [
        (4, 0, (5,), (1,)),
        (4, 1, (4,), (1,)),
        (4, 0, (2, 2), (4, 1)),
        (4, -1, (2,), (1,)),
        (4, 3, (4,), (-1,)),
        (4, 0, (-2, -2), (1, 1)),
        (4, 0, (4,), (1, 1)),
        (4, 0, (1 << 40,), (1,)),
        (1 << 40, 0, (1 << 40,), (1,)),
        (1 << 62, 0, (4,), (1,)),
        (4, 0, (1 << 20, 1 << 20), (0, 0)),
        (4, 1 << 60, (1,), (1,)),
        (4, 0, (1,) * 70, (0,) * 70),
        (-4, 0, (4,), (1,)),
    ],
)
def test_a_tensor_beyond_its_storage(tmp_path, count, offset, shape, strides):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(count, offset, shape, strides))
        archive.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())
    check(read_torch, path)
    path.write_bytes(
        b"".join(LEGACY)
        + SYSTEM
        + tensor_pickle(count, offset, shape, strides)
        + pickle.dumps(["0"], 2)
        + struct.pack("<q4f", 4, 0, 1, 2, 3)
    )
    check(read_torch, path)


def test_the_same_tensor_within_its_storage(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(4, 1, (3, 2), (1, 0)))
        archive.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())
    assert read_torch(path)["w"].tolist() == [[1, 1], [2, 2], [3, 3]]


def test_two_tensors_that_disagree_on_their_storage(tmp_path):
    first, second = tensor_pickle(4, 0, (4,), (1,)), tensor_pickle(4096, 0, (4096,), (1,))
    data = first[:-2] + second[len(b"\x80\x02}") :].replace(b"X\x01\0\0\0w", b"X\x01\0\0\0v")
    data = data.replace(b"RX", b"RsX")
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())
    check(read_torch, path)


def test_a_zip_that_says_more_than_it_holds(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(1 << 30, 0, (1 << 30,), (1,)))
        archive.writestr("archive/data/0", b"")
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"archive/data/0"))
    struct.pack_into("<II", data, entry + 20, (1 << 32) - 2, (1 << 32) - 2)
    path.write_bytes(data)
    check(read_torch, path)


@pytest.mark.parametrize("loops", [False, True])
def test_dictionaries_that_hold_each_other(tmp_path, loops):
    value = {"x": 1}
    if loops:
        value["model"] = value
        value["other"] = value
    for _ in range(200):
        value = {"model": value, "state_dict": value, "net": value, "a": value, "b": value}
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(value, 2))
    check(read_torch, path)


def test_harmless_extras_are_read_over():
    value = {
        "args": argparse.Namespace(a=1, b=[2]),
        "milestones": collections.Counter([3, 3]),
        "best": np.float64(0.5),
        "names": {"a", "b"},
        "order": collections.OrderedDict(a=1),
    }
    for protocol in (2, 4):
        result = load_pickle(pickle.dumps(value, protocol), ALLOWED, Storage.from_id)
        assert (result["milestones"], result["best"], result["order"]) == ({3: 2}, 0.5, {"a": 1})
        assert sorted(result["names"]) == ["a", "b"]


@pytest.mark.parametrize("suffix", [".pth", ".pickle", ".params", ".safetensors", ".ckpt"])
def test_a_link_to_a_device_is_not_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.symlink_to("/dev/zero")
    for read in (read_weights, read_archive):
        with pytest.raises(UserError, match="cannot be read: is a pipe or device, not a file"):
            read(path)
