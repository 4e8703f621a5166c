"""The packages that an installation brings, and their licences. Known faults need a network: `pip-audit`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from results import Row

EXTRAS = ("", "cpu", "serve", "onnx", "safetensors", "tfrecord", "pretrained")
# Words of the licences under which a program may be used and passed on with this one.
FREE = re.compile(r"apache|mit\b|bsd|psf|python software|hpnd|mpl|isc|zlib|unlicense|cmu|0bsd", re.IGNORECASE)


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Yields one row: how many packages there are, and those whose licence is not known to be free."""
    found = {name: _licence(name) for name in sorted(_needed("gluon_ssd", EXTRAS, {}))}
    unknown = [f"{name}: licence {text!r}" for name, text in found.items() if not FREE.search(text)]
    groups: dict[str, list[str]] = defaultdict(list)
    for name, text in found.items():
        groups[text].append(f"{name} {metadata.version(name)}")
    note = "; ".join(f"{text}: {', '.join(names)}" for text, names in sorted(groups.items()))
    yield Row("supply", "licences of what is installed", len(found), len(unknown), note, faults=unknown)


def _needed(name: str, extras: tuple[str, ...], found: dict[str, None]) -> dict[str, None]:
    """Returns the installed packages that ``name`` needs, directly or not."""
    try:
        needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return found
    if name != "gluon_ssd":
        found[_name(name)] = None
    for line in needs:
        need = Requirement(line)
        wanted = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
        if wanted and _name(need.name) not in found:
            _needed(need.name, ("", *need.extras), found)
    return found


def _name(text: str) -> str:
    """Returns how the package itself spells its name."""
    try:
        return metadata.metadata(text)["Name"]
    except metadata.PackageNotFoundError:
        return text


def _licence(name: str) -> str:
    """Returns what a package calls its licence, in at most 40 characters."""
    about = metadata.metadata(name)
    marks = [line.rpartition(":: ")[2] for line in about.get_all("Classifier") or [] if "License" in line]
    text = about.get("License-Expression") or (marks[0] if marks else "") or about.get("License") or "unknown"
    return text.strip().splitlines()[0][:40]
