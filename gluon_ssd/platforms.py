"""The machines that MXNet 1.9.1 is published for, and how to get it on this one."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence

# The wheels on PyPI: machines by system, both as the module `platform` names them.
WHEELS = {"Linux": ("x86_64", "aarch64"), "Darwin": ("x86_64",)}
OLDEST_PYTHON, NEWEST_PYTHON = (3, 9), (3, 13)
# MXNet's requirements ask for a NumPy below 2, which is not published for Python from this version on.
_NUMPY_2_ONLY = (3, 13)


def has_mxnet(system: str | None = None, machine: str | None = None) -> bool:
    """Returns whether MXNet 1.9.1 is published for such a machine; None means the one that this runs on."""
    return (machine or platform.machine()) in WHEELS.get(system or platform.system(), ())


def mxnet_advice(
    system: str | None = None, machine: str | None = None, python: Sequence[int] | None = None
) -> str:
    """Returns, in one line, how to install MXNet, or the way out where that is not possible.

    ``system`` and ``machine`` are as `platform` names them; ``python`` is the version, such as (3, 11). None
    means what this runs on.
    """
    system, machine = system or platform.system(), machine or platform.machine()
    version = tuple(python or sys.version_info)[:2]
    if not has_mxnet(system, machine):
        return _way_out(system, machine)
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return f"MXNet runs on Python 3.9 to 3.13, and this is {version[0]}.{version[1]}; use one of those"
    if version >= _NUMPY_2_ONLY:
        return "pip install --no-deps mxnet==1.9.1"
    gpu = " (with an NVIDIA GPU: cu112 or cu117)" if (system, machine) == ("Linux", "x86_64") else ""
    return f'pip install "gluon_ssd[cpu]"{gpu}'


def _way_out(system: str, machine: str) -> str:
    if system == "Windows":
        where, advice = "Windows", "install gluon_ssd inside WSL (wsl --install) or Docker"
    elif (system, machine) == ("Darwin", "arm64"):
        where = "Apple silicon"
        advice = "use a Python for x86_64, which Rosetta runs (softwareupdate --install-rosetta), or Docker"
    else:
        where, advice = f"{system} on {machine}", "use Docker on an x86_64 or aarch64 processor"
    return f"MXNet 1.9.1 is not published for {where}; {advice}"
