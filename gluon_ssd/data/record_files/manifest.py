"""The manifest of a packed split: its annotations, and what is in which shard.

The file is a COCO annotation file with more keys: 'format', 'split' and 'shards', and for each image its
'shard', the 'offset' and 'length' of its record, and the 'size' and 'crc32' of the picture. It begins with
the version of this format and the SHA-256 of all that follows, so that damage is found before any of it is
used.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

from ...errors import UserError
from ..coco_json import CocoFile, parse_coco, parse_json
from ..records import Record
from .framing import recordio_payload, tfrecord_payload
from .shards import REMEDY, PackedPicture, Shard

VERSION = 1
RECORDIO, TFRECORD = "recordio", "tfrecord"
SUFFIXES = {RECORDIO: ".rec", TFRECORD: ".tfrecord"}
_UNWRAP: dict[str, Callable[[bytes], bytes]] = {RECORDIO: recordio_payload, TFRECORD: tfrecord_payload}
_HEAD = re.compile(rb'\{"gluon_ssd_records": (\d+), "sha256": "([0-9a-f]{64})", ')
_AGAIN = "pack the data set again with gluon-ssd prepare-records --overwrite"


@dataclass(frozen=True)
class ShardFiles:
    """A shard and its index in the manifest's folder: names, length in bytes, CRC-32 of the index."""

    file: str
    bytes: int
    index: str
    index_crc32: int


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read. ``pictures`` holds one PackedPicture per image of ``coco``, in its order."""

    path: Path
    format: str
    shards: tuple[ShardFiles, ...]
    coco: CocoFile
    pictures: tuple[PackedPicture, ...]

    def attach(self, records: Sequence[Record]) -> list[Record]:
        """Returns the records of ``coco`` with their pictures, under a name that shows the shard as well."""
        rows = zip(records, self.coco.file_names, self.pictures)
        return [replace(row, path=picture.shard.path / name, packed=picture) for row, name, picture in rows]

    def check_files(self) -> None:
        """Raises UserError for a shard or index that is missing, cut short, or belongs to another packing."""
        for shard in self.shards:
            path, index = self.path.parent / shard.file, self.path.parent / shard.index
            try:
                found = path.stat().st_size
                entries = index.read_bytes()
            except OSError as error:
                name = path if not path.exists() else index
                raise UserError(f"{name}: named by {self.path}, but {_reason(error)}; {REMEDY}") from None
            # Only the length: a checksum of the shards would read the whole data set. Each picture's own
            # checksum is compared when it is read.
            if found != shard.bytes:
                raise UserError(f"{path}: has {found} bytes, but {shard.bytes} were written; {REMEDY}")
            if zlib.crc32(entries) != shard.index_crc32:
                raise UserError(f"{index}: is not the index that belongs to {path}; {REMEDY}")


def manifest_path(folder: Path, split: str) -> Path:
    """Returns the path of the manifest of a split."""
    return folder / f"records_{split}.json"


def shard_name(split: str, number: int, count: int, suffix: str) -> str:
    """Returns the name of a shard, numbered from 0, or of its index."""
    return f"{split}-{number:05}-of-{count:05}{suffix}"


def write_manifest(path: Path, format: str, split: str, shards: Sequence[ShardFiles], content: Any) -> None:
    """Writes a manifest. ``content`` is the COCO part, whose images have the keys of packing."""
    body = {"format": format, "split": split, "shards": [vars(shard) for shard in shards], **content}
    # Without its opening bracket, since the head with the checksum stands in front of it in the same object.
    data = json.dumps(body, separators=(",", ":"))[1:].encode()
    digest = hashlib.sha256(data).hexdigest()
    with open(path, "wb") as stream:
        stream.write(f'{{"gluon_ssd_records": {VERSION}, "sha256": "{digest}", '.encode())
        stream.write(data)


def read_manifest(folder: Path, split: str) -> Manifest:
    """Reads and checks the manifest of a split.

    Raises UserError when it is missing, damaged, of another version, or not a manifest. The shards are not
    looked at: see `Manifest.check_files`.
    """
    path = manifest_path(folder, split)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(_missing(folder, split)) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({_reason(error)}); check the path") from None
    head = _HEAD.match(data)
    if head is None:
        raise UserError(f"{path}: not a manifest of record files, or damaged at its beginning; {REMEDY}")
    if int(head[1]) != VERSION:
        raise UserError(f"{path}: is of version {int(head[1])}, and {VERSION} is read here; {_AGAIN}")
    if hashlib.sha256(data[head.end() :]).hexdigest().encode() != head[2]:
        raise UserError(f"{path}: damaged, its checksum is wrong; {REMEDY}")
    content = parse_json(data, path)
    coco = parse_coco(content, path)
    # The checksum finds damage, but who writes another content can write its checksum, too.
    try:
        shards = tuple(_shard(row) for row in content["shards"])
        opened = [Shard(folder / shard.file, _UNWRAP[content["format"]]) for shard in shards]
        pictures = tuple(_picture(row, shards, opened) for row in content["images"])
    except (ValueError, TypeError, LookupError):
        what = "its shards or their pictures are not as they were written"
        raise UserError(f"{path}: {what}; {_AGAIN}") from None
    return Manifest(path, content["format"], shards, coco, pictures)


def _shard(row: Any) -> ShardFiles:
    shard = ShardFiles(**row)
    # Both are in the folder of the manifest, and nothing outside of it is read.
    if any(Path(name).name != name for name in (shard.file, shard.index)):
        raise ValueError
    return shard


def _picture(row: Any, shards: Sequence[ShardFiles], opened: Sequence[Shard]) -> PackedPicture:
    number, offset, length, size = places = [row[key] for key in ("shard", "offset", "length", "size")]
    if any(type(place) is not int or place < 0 for place in places):
        raise ValueError
    if size > length or offset + length > shards[number].bytes:
        raise ValueError
    return PackedPicture(opened[number], offset, length, size, row["crc32"])


def holds_records(folder: Path, split: str) -> bool:
    """Returns whether a folder holds record files, complete or not, rather than COCO's layout."""
    if manifest_path(folder, split).exists():
        return True
    return not (folder / "annotations").exists() and bool(_splits(folder) or _loose_shards(folder))


def _missing(folder: Path, split: str) -> str:
    known = _splits(folder)
    if known:
        return f"{folder}: no record files for split '{split}'; packed are: {', '.join(known)}"
    return (
        f"{folder}: holds no {manifest_path(folder, split).name}, without which record files are not "
        "complete; copy it too, or pack the data set with gluon-ssd prepare-records"
    )


def _splits(folder: Path) -> list[str]:
    found = folder.glob("records_*.json")
    return sorted(path.stem[len("records_") :] for path in found if path.is_file())


def _loose_shards(folder: Path) -> list[Path]:
    found = (path for suffix in SUFFIXES.values() for path in folder.glob(f"*{suffix}"))
    return sorted(path for path in found if path.is_file())


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
