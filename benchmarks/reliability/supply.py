"""The packages that an installation brings, and the files that the programs here download."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from advisories import known_faults
from packaging.requirements import Requirement
from packed import build_wheel, requirements, stranger_files
from results import REPOSITORY, Row

from gluon_ssd.weights.table import WEIGHTS

EXTRAS = ("", "cpu", "serve", "onnx", "safetensors", "tfrecord", "pretrained")
# Words of the licences under which a program may be used and passed on with this one.
FREE = re.compile(r"apache|mit\b|bsd|psf|python software|hpnd|mpl|isc|zlib|unlicense|cmu|0bsd", re.IGNORECASE)
# Why a package has an upper bound, and the test that shows it or holds the version that is known to fit.
_LAST = "the last there will be"
BOUNDS: Mapping[str, tuple[str, str]] = {
    "mxnet": (_LAST, "tests/test_contract.py"),
    "mxnet-cu112": (_LAST, "tests/test_packaging.py"),
    "mxnet-cu117": (_LAST, "tests/test_packaging.py"),
    "horovod": (_LAST, "tests/training/distributed/test_callbacks.py"),
    "gluoncv": (_LAST, "tests/model_zoo/test_gluoncv_ssd.py"),
    "supervision": ("0.28 has no ByteTrack", "tests/cli/test_predict_video.py"),
    "hotcoco": ("of later ones no test has shown the same scores", "tests/training/test_coco_pass.py"),
    "ruff": ("the version decides what it objects to", "Makefile"),
    "mypy": ("the version decides what it objects to", "Makefile"),
}
# What the scripts in scripts/datasets download, and what is checked of it; of weights the table says so.
SCRIPTS = "COCO 2017: MD5 and size; OpenImages, labels and 1.7 million images: none is published"


def measure(count: int, seed: int, folder: Path, advisories: Path | None = None) -> Iterator[Row]:
    """Yields a row each for licences, upper bounds, digests, and what a wheel holds.

    ``advisories``: a copy of PyPA's database, for a row about known faults.
    """
    wheel = build_wheel(folder)
    needed = sorted(_needed("gluon_ssd", EXTRAS, {}))
    if advisories is not None:
        yield known_faults(advisories, {name: metadata.version(name) for name in needed})
    yield _licences(needed)
    yield bounds(requirements(wheel))
    yield _digests()
    strangers, files = stranger_files(wheel)
    note = "the package, its data, and what pip keeps of it"
    yield Row("supply", "files in the wheel", files, len(strangers), note, faults=strangers)


def _licences(needed: Sequence[str]) -> Row:
    found = {name: _licence(name) for name in needed}
    unknown = [f"{name}: licence {text!r}" for name, text in found.items() if not FREE.search(text)]
    groups: dict[str, list[str]] = defaultdict(list)
    for name, text in found.items():
        groups[text].append(f"{name} {metadata.version(name)}")
    note = "; ".join(f"{text}: {', '.join(names)}" for text, names in sorted(groups.items()))
    return Row("supply", "licences of what is installed", len(found), len(unknown), note, faults=unknown)


def bounds(needs: Sequence[Requirement]) -> Row:
    """Looks at every package that may not be of any later version: each needs a reason and a test."""
    bound = [need for need in needs if {"==", "<", "<=", "~="} & {each.operator for each in need.specifier}]
    faults = [f"{need}: has no reason" for need in bound if need.name not in BOUNDS]
    faults += [f"{path}: not there" for _, path in BOUNDS.values() if not (REPOSITORY / path).is_file()]
    known = [need for need in bound if need.name in BOUNDS]
    reasons = [f"{need.name}{need.specifier}: {' ('.join(BOUNDS[need.name])})" for need in known]
    return Row("supply", "upper bounds", len(bound), len(faults), "; ".join(reasons), faults=faults)


def _digests() -> Row:
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in WEIGHTS.values():
        kind, digits = row.digest
        kinds[f"{kind}, {len(digits)} digits" if digits else "none is published"].append(row.name)
    note = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in sorted(kinds.items()))
    return Row("supply", "digests of what is downloaded", len(WEIGHTS), 0, f"{note}; {SCRIPTS}")


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
    """Returns what a package calls its licence, in at most 40 characters; else how its text begins."""
    about = metadata.metadata(name)
    marks = [line.rpartition(":: ")[2] for line in about.get_all("Classifier") or [] if "License" in line]
    text = about.get("License-Expression") or (marks[0] if marks else "") or about.get("License") or ""
    if text.lower() in ("", "unknown"):
        files = [file for file in metadata.files(name) or [] if file.name.upper().startswith("LICENSE")]
        text = files[0].read_text() if files else "unknown"
    return text.strip().splitlines()[0].strip()[:40]
