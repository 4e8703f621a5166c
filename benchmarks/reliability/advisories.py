"""Which installed packages have faults that are known, by a copy of PyPA's advisory database.

It is github.com/pypa/advisory-database, which has a file for each fault: `vulns/<package>/<id>.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import Version
from results import Row


def known_faults(folder: Path, installed: Mapping[str, str]) -> Row:
    """Looks up every package of ``installed``, versions by name, in the copy at ``folder``."""
    newest, told, faults = "", 0, []
    for name, version in installed.items():
        for path in sorted((folder / "vulns" / canonicalize_name(name)).glob("*.yaml")):
            # Every value as text: a version 2.10 is no number.
            advisory = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
            told += 1
            newest = max(newest, advisory.get("published", "")[:10])
            if not advisory.get("withdrawn") and any(_hit(advisory, canonicalize_name(name), version)):
                faults.append(f"{name} {version} has the fault {advisory['id']}")
    note = f"{told} faults of these packages are known to the copy, the newest of {newest or 'no day'}"
    case = "known faults of what is installed"
    return Row("supply", case, len(installed), len(faults), note, faults=faults)


def _hit(advisory: Mapping[str, Any], name: str, version: str) -> Iterator[bool]:
    """Yields for each list of versions and each range whether it holds ``version``."""
    for affected in advisory["affected"]:
        if canonicalize_name(affected["package"]["name"]) == name:
            yield version in affected.get("versions", ())
            for span in affected.get("ranges", ()):
                if span["type"] == "ECOSYSTEM":
                    yield _within(span["events"], Version(version))


def _within(events: list[Mapping[str, str]], version: Version) -> bool:
    """Returns whether a fault was there in ``version``: ``events`` tell where it came and went."""
    there = False
    for event in events:
        if "introduced" in event:
            there = there or version >= Version(event["introduced"])
        elif "fixed" in event:
            there = there and version < Version(event["fixed"])
        elif "last_affected" in event:
            there = there and version <= Version(event["last_affected"])
    return there
