"""Packs a data set into record files."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

from ...errors import UserError, import_problem, unknown
from ...files import as_path, as_utf8
from ...folders import exchange, partial_folder
from ...locks import only_writer
from ..coco import CocoDataset
from ..images import PathLike
from .manifest import (
    RECORDIO,
    SUFFIXES,
    TFRECORD,
    ShardFiles,
    manifest_path,
    shard_name,
    write_manifest,
)
from .writers import Item, ShardWriter, make_writer

SHARDS = 8
# The module that a format is written with.
_LIBRARIES = {RECORDIO: "mxnet", TFRECORD: "google_crc32c"}
_INDEX = ".idx"


def check_output(output: PathLike, split: str, format: str = RECORDIO, overwrite: bool = False) -> None:
    """Raises UserError when `prepare_records` would refuse to begin."""
    if format not in SUFFIXES:
        raise unknown("format", format, SUFFIXES)
    try:
        importlib.import_module(_LIBRARIES[format])
    except ImportError as error:
        raise import_problem(error) or error from None
    folder = as_path(output)
    if format == RECORDIO:
        as_utf8(folder, "MXNet")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder for the record files")
    there = _packed_files(folder, split)
    if there and not overwrite:
        raise UserError(
            f"{folder}: holds {there[0].name} already; give another folder, or --overwrite to replace split "
            f"'{split}'"
        )


def check_shards(dataset: CocoDataset, split: str, shards: int | None) -> None:
    """Raises UserError when a data set cannot be packed into so many files."""
    images = len(dataset)
    if shards is not None and not 1 <= shards <= images:
        raise UserError(f"{split}: {shards} shards of {images} images cannot be; give between 1 and {images}")


def prepare_records(
    dataset: CocoDataset,
    output: PathLike,
    split: str,
    *,
    format: str = RECORDIO,
    shards: int | None = None,
    overwrite: bool = False,
    on_image: Callable[[int], None] = lambda count: None,
) -> Path:
    """Packs a data set into ``shards`` files (None: 8, or one per image where there are fewer images).

    Pictures keep their bytes and the data set's order; ``on_image`` is called with 1 after each. The files
    appear in ``output`` when all of them are complete, the manifest last. Whatever goes wrong before that
    leaves nothing behind.

    Returns the manifest's path. Raises UserError for impossible settings, for pictures that cannot be read,
    and for a folder that cannot be written.
    """
    check_output(output, split, format, overwrite)
    check_shards(dataset, split, shards)
    folder, count = as_path(output), shards or min(SHARDS, len(dataset))
    with _folder_in(folder, split) as partial:
        names = [shard_name(split, number, count, SUFFIXES[format]) for number in range(count)]
        files, content = _write_shards(dataset, [partial / name for name in names], format, on_image)
        manifest = manifest_path(partial, split)
        write_manifest(manifest, format, split, files, content)
        _sync(manifest)
        made = [name for shard in files for name in (shard.file, shard.index)]
        with only_writer(folder):
            # Another process may have packed the same split meanwhile.
            check_output(output, split, format, overwrite)
            # The old manifest goes first and the new one comes last, so that a crash in between leaves a
            # folder that is seen to be incomplete, never a manifest with the wrong shards.
            new = [folder / name for name in (*made, manifest.name)]
            exchange(_packed_files(folder, split), partial, new)
    return manifest_path(folder, split)


@contextlib.contextmanager
def _folder_in(folder: Path, split: str) -> Iterator[Path]:
    """A hidden folder in ``folder``, which is removed in the end."""
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial_folder(folder / split) as partial:
            yield partial
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder}: the record files cannot be written: {reason}; packing stopped") from None
    finally:
        # A folder that only this call has made goes again if it is still empty.
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _write_shards(
    dataset: CocoDataset, paths: Sequence[Path], format: str, on_image: Callable[[int], None]
) -> tuple[list[ShardFiles], dict[str, Any]]:
    """Writes all shards and returns their rows and the content of the manifest.

    The shards differ by at most one image.
    """
    content = dataset.coco_content()
    # Consecutive images share a shard, so that a reader that goes through the shards keeps the order.
    bounds = [len(dataset) * number // len(paths) for number in range(len(paths) + 1)]
    files = []
    for number, path in enumerate(paths):
        index = path.with_suffix(_INDEX)
        with contextlib.closing(make_writer(format, path, index)) as writer:
            for position in range(bounds[number], bounds[number + 1]):
                record, row = dataset.records[position], content["images"][position]
                item = Item(position, row["file_name"], record, record.read(), dataset.classes)
                row.update({"shard": number, **_write(writer, item)})
                on_image(1)
        _sync(path)
        _sync(index)
        entries = zlib.crc32(index.read_bytes())
        files.append(ShardFiles(path.name, path.stat().st_size, index.name, entries))
    return files, content


def _write(writer: ShardWriter, item: Item) -> dict[str, int]:
    offset, length = writer.add(item)
    picture = item.picture
    return {"offset": offset, "length": length, "size": len(picture), "crc32": zlib.crc32(picture)}


def _packed_files(folder: Path, split: str) -> list[Path]:
    """The manifest of a split, if it is there, then its shards and indices of any format and number."""
    if not folder.is_dir():
        return []
    suffixes = "|".join(re.escape(suffix) for suffix in (*SUFFIXES.values(), _INDEX))
    shard = re.compile(rf"{re.escape(split)}-\d{{5}}-of-\d{{5}}({suffixes})")
    found = sorted(path for path in folder.iterdir() if shard.fullmatch(path.name))
    manifest = manifest_path(folder, split)
    return [manifest, *found] if manifest.exists() else found


def _sync(path: Path) -> None:
    """Waits until a file is on the disk. Windows requires that it is open for writing."""
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())
