"""Reads PyTorch's .pth and .pt files, in the zip and in the legacy format, without PyTorch."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Callable

import numpy as np

from ..errors import UserError
from ..files import as_path, refuse_device
from .safe_pickle import DAMAGE, NamedClass, Refused, load_pickle, short
from .torch_pickle import (
    ALLOWED,
    ElementType,
    SavedObject,
    Storage,
    Tensor,
    element_array,
    is_size,
    tensor_array,
)
from .torch_state import find_state

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# The legacy magic number as a pickle, with which such a file begins.
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
ZIP_START = b"PK\x03\x04"
_TAR = "the tar format of PyTorch before 0.2; load it with PyTorch and save it again"
# What damaged data can raise in the readers.
_PROBLEMS = (*DAMAGE, EOFError, struct.error)

Fetch = Callable[[Storage, ElementType], np.ndarray]


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a PyTorch checkpoint by name, without running anything in the file.

    Of a training checkpoint the part of the network is taken (``model``, ``state_dict`` or the like), without
    ``module.`` before the names; counters, options and the optimizer's state are left out. Of a module that
    was saved whole, whose class is not imported, the tensors are those of its ``state_dict()``. Types and
    values are those of the file, except that bfloat16 becomes float32 of the same values. Tensors that share
    a storage share memory here as well. Raises UserError for a file that is missing, damaged, no checkpoint,
    or that holds anything but data.
    """
    path = as_path(path)
    with readable(path, "PyTorch checkpoint"), path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start.startswith(ZIP_START):
            return _read_zip(file)
        if start.startswith(LEGACY_START):
            return _read_legacy(file)
        if start[257:262] == b"ustar":
            raise Refused(_TAR)
        raise Refused("it is neither the zip nor the legacy format of torch.save")


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turns what can go wrong in reading a file, a ``kind`` of file, into one UserError that names it."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a {kind}")
    try:
        refuse_device(path)
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Refused as error:
        raise UserError(f"{path}: cannot be read as a {kind}: {error}") from None
    except _PROBLEMS as error:
        raise UserError(f"{path}: cannot be read as a {kind}: {short(str(error))}") from None


def _collect(value: Any, fetch: Fetch) -> dict[str, np.ndarray]:
    """Returns the tensors of an unpickled checkpoint by name; ``fetch`` reads the elements of a storage."""
    # Each storage is read once, so that tensors which shared it in PyTorch share memory here.
    cache: dict[tuple[Any, ...], np.ndarray] = {}
    state = {}
    for name, tensor in find_state(value).items():
        if isinstance(tensor, Tensor):
            storage = tensor.storage
            key = storage.key, storage.type, storage.total, tensor.type
            if key not in cache:
                cache[key] = fetch(storage, tensor.type)
            tensor = tensor_array(tensor, cache[key])
        state[name] = tensor
    return state


# The zip format, since PyTorch 1.6: a pickle whose tensors refer to storages by key, and a member per
# storage.


def _read_zip(file: BinaryIO) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            return _read_archive(archive, file.seek(0, io.SEEK_END))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise Refused(f"damaged zip: {short(str(error))}") from None


def _read_archive(archive: zipfile.ZipFile, length: int) -> dict[str, np.ndarray]:
    members = _members(archive, length)
    pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused("the zip holds no data.pkl, so torch.save did not write it")
    root = pickles[0][: -len("data.pkl")]
    # Older versions of PyTorch do not state the byte order; they hardly ran on anything but little-endian.
    order = archive.read(members[f"{root}byteorder"]) if f"{root}byteorder" in members else b"little"
    if order not in (b"little", b"big"):
        raise Refused(f"byte order {short(order.decode('latin-1'))}")

    def fetch(storage: Storage, kind: ElementType) -> np.ndarray:
        member = members.get(f"{root}data/{storage.key}")
        wanted = storage.total * storage.type.size
        if member is None or member.file_size != wanted:
            size = "not there" if member is None else f"{member.file_size} bytes"
            raise Refused(f"storage {short(storage.key)} is {size}, its tensors need {wanted} bytes")
        return element_array(archive.read(member), kind, order == b"big")

    value = load_pickle(archive.read(members[pickles[0]]), ALLOWED, Storage.from_id, SavedObject)
    return _collect(value, fetch)


def _members(archive: zipfile.ZipFile, length: int) -> Mapping[str, zipfile.ZipInfo]:
    """Returns the members of a zip by name. Raises Refused for a zip that torch.save does not write.

    ``length`` is that of the file in bytes.
    """
    # A compressed member, or members that share their bytes, could make a small file fill the memory.
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename
        if "/code/" in name:  # the source of a TorchScript program, which is not read
            continue
        if name in members:
            raise Refused(f"the zip holds {short(name)} twice")
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise Refused(f"the zip holds {short(name)}, a path out of it")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Refused(f"{short(name)} is compressed, which torch.save never does")
        members[name] = info
    if sum(info.file_size for info in members.values()) > length:
        raise Refused("the zip says that it holds more than the file is long")
    return members


# The legacy format, of PyTorch 0.2 to 1.5, and of later versions with _use_new_zipfile_serialization=False:
# the pickles of a magic number, a protocol, the machine, the checkpoint and the storages' keys, then the
# storages.


def _read_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    # Not mapped into memory: a file that is cut short meanwhile would end the process.
    with io.BytesIO(file.read()) as data:
        magic, protocol = load_pickle(data, {}), load_pickle(data, {})
        system = load_pickle(data, {})
        if (magic, protocol) != (LEGACY_MAGIC, 1001) or not isinstance(system, dict):
            raise Refused("an unknown version of the legacy format")
        if system.get("little_endian") is not True:
            raise Refused("it was written on a big-endian machine")
        storages: dict[str, Storage] = {}

        # The storages come last in the file, so their sizes are collected while the checkpoint is read.
        def remember(parts: Any) -> Any:
            # A class of module, the first time that it is named, with the file and the text of its source.
            if isinstance(parts, tuple) and len(parts) == 4 and isinstance(parts[1], NamedClass):
                return parts[1]
            storage = Storage.from_id(parts)
            root = storages.setdefault(storage.key, storage)
            if (root.type, root.total) != (storage.type, storage.total):
                raise Refused(f"storage {short(storage.key)} with two sizes")
            return storage

        value = load_pickle(data, ALLOWED, remember, SavedObject)
        blobs = _legacy_blobs(data, load_pickle(data, {}), storages)

        def fetch(storage: Storage, kind: ElementType) -> np.ndarray:
            return element_array(blobs[storage.key], kind, big_endian=False)

        return _collect(value, fetch)


def _legacy_blobs(data: io.BytesIO, keys: Any, storages: Mapping[str, Storage]) -> dict[str, bytes]:
    """Returns the bytes of the storages, which follow the pickles in the order of ``keys``.

    Each storage comes after its number of elements. Raises Refused where the number is not that of the
    pickle.
    """
    if not isinstance(keys, list) or not all(isinstance(key, (str, int)) for key in keys):
        raise Refused("its list of storages holds something else than names")
    if sorted(map(str, keys)) != sorted(storages):
        raise Refused("its list of storages does not match its tensors")
    blobs = {}
    for key in map(str, keys):
        storage, head = storages[key], data.read(8)
        count = struct.unpack("<q", head)[0]
        if not is_size(count) or count != storage.total:
            raise Refused(f"storage {short(key)} has {count} elements, its tensors need {storage.total}")
        blob = data.read(count * storage.type.size)
        if len(blob) != count * storage.type.size:
            raise Refused("the file is cut off")
        blobs[key] = blob
    return blobs
