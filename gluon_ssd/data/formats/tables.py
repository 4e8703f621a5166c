"""Label tables in CSV: what their readers share."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ...errors import UserError
from ..finder import Finder
from ..progress import counted
from ..splits import OF_NO_SPLIT, SPLITS, split_in, split_of
from .model import RESPELLED, Options
from .reading import encoding, inner_name, missing, read_text, visible
from .sheet import Sheet

Row = TypeVar("Row")


def read_table(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields each row of a CSV file with a header: its place for messages, and its fields by column.

    Raises UserError for what is not a CSV file, and for a row of another length than the header.
    """
    text = read_text(path)
    try:
        rows = csv.reader(io.StringIO(text), delimiter=_delimiter(text))
        # VIA writes its header as a comment, "#filename,...".
        header = [_column(name) for name in next(rows, [])]
        for row in rows:
            where = f"{path} line {rows.line_num}"
            if not any(field.strip() for field in row):
                continue
            if len(row) != len(header):
                raise UserError(f"{where}: has {len(row)} fields, the header {len(header)}")
            yield where, dict(zip(header, row))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from None


def header_of(path: Path) -> list[str]:
    """Returns the names of the columns of a CSV file, in small letters; none where it cannot be read."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(8192)
    except OSError:
        return []
    line = start.decode(encoding(start), "ignore").split("\n", 1)[0]
    return [_column(name) for name in line.split(_delimiter(line))]


def _column(name: str) -> str:
    """The name of a column as it is known here, whatever its case and quotes."""
    return name.strip().strip('"').lstrip("#").casefold()


def _delimiter(text: str) -> str:
    """The separator of fields: spreadsheets of some countries write semicolons, or tabulators."""
    first = text.split("\n", 1)[0]
    return max(",;\t", key=first.count)


def split_files(root: Path, files: Sequence[Path], lines: list[str]) -> dict[str, list[Path]]:
    """Returns label files by split, as their names or folders say; ``lines`` is told of the others."""
    parts: dict[str, list[Path]] = {}
    for path in files:
        folders = path.relative_to(root).parts[:-1] if root.is_dir() else ()
        split = split_in(path.stem) or next(filter(None, map(split_of, folders)), None)
        parts.setdefault(split or "", []).append(path)
    rest = parts.pop("", [])
    if rest and parts:
        lines += [f"{path} is not used: {OF_NO_SPLIT}" for path in rest]
    elif rest:
        # A table whose name says no split holds the training images.
        parts["train"] = rest
    return {split: parts[split] for split in SPLITS if split in parts}


def csv_files(root: Path) -> list[Path]:
    """Returns the CSV files of a folder, at most two folders down, or the file itself."""
    if root.is_file():
        return [root] if root.suffix.lower() == ".csv" else []
    return visible(path for depth in ("*.csv", "*/*.csv", "*/*/*.csv") for path in root.glob(depth))


def sheets_of(
    split: str,
    path: Path,
    rows: Mapping[str, Sequence[Row]],
    root: Path,
    options: Options,
    notes: Counter[str],
    size_of: Callable[[Sequence[Row]], tuple[int, int] | None] = lambda rows: None,
) -> Iterator[tuple[Sheet, Sequence[Row]]]:
    """Yields a sheet for each image that a table names, with the image's ``rows``; the caller adds the boxes.

    ``path`` is the table and ``root`` the data set; ``size_of`` returns what an image's rows say of its size.
    Images that are missing are counted in ``notes`` where the options leave them out; otherwise they raise
    UserError.
    """
    # Tools put the images beside the table, into a folder of the split's name, or into images/.
    folders = [path.parent, path.parent / split, path.parent / "images" / split, path.parent / "images"]
    finder = Finder(folders, root)
    for file_name, own in counted(rows.items(), f"reading {split}", options.progress):
        found = finder.find(file_name)
        if found is None:
            missing(f"{path}: its image {file_name} is not there", options.skip_missing, notes)
            continue
        name = inner_name(found[0], *folders[1:], path.parent, root)
        sheet = Sheet(found[0], name, options, size_of(own))
        sheet.note(*[RESPELLED] * found[1])
        yield sheet, own


def number(where: str, field: str, text: object) -> float:
    """Returns the number that ``text`` is. Raises UserError when it is none, or not finite."""
    try:
        value = float(str(text))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {field} is {text!r}; it must be a number")
    return value
