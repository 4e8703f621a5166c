"""A wheel, built from what the repository has under version control, and what in it is not the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from results import REPOSITORY

_OURS = re.compile(r"gluon_ssd/[\w./-]+|gluon_ssd-[\w.]+\.dist-info/[\w./-]+")


def build_wheel(folder: Path) -> Path:
    """Builds the wheel in ``folder`` and returns its path."""
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, source / name)
    command = "-m pip wheel -q --no-deps --no-build-isolation --no-index --wheel-dir wheel ./source"
    subprocess.run([sys.executable, *command.split()], cwd=folder, check=True)
    (wheel,) = (folder / "wheel").iterdir()
    return wheel


def stranger_files(wheel: Path) -> tuple[list[str], int]:
    """Returns the files of a wheel that neither the package nor pip has put there, and how many it has."""
    names = zipfile.ZipFile(wheel).namelist()
    return [f"{name}: not of the package" for name in names if not _OURS.fullmatch(name)], len(names)


def requirements(wheel: Path) -> list[Requirement]:
    """Returns what a wheel asks for, its extras included."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    lines = archive.read(name).decode().splitlines()
    start = "Requires-Dist: "
    return [Requirement(line[len(start) :]) for line in lines if line.startswith(start)]
