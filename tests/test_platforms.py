"""What is said where MXNet is missing, for machines that this one is not."""

import pytest

from gluon_ssd.platforms import has_mxnet, mxnet_advice

RANGE = "MXNet runs on Python 3.9 to 3.13, and this is {}; use one of those"
PIP = 'pip install "gluon_ssd[cpu]"'
GPU = " (with an NVIDIA GPU: cu112 or cu117)"


@pytest.mark.parametrize(
    ("system", "machine", "python", "advice"),
    [
        ("Linux", "x86_64", (3, 9), PIP + GPU),
        ("Linux", "x86_64", (3, 12, 1), PIP + GPU),
        ("Linux", "aarch64", (3, 11), PIP),
        ("Darwin", "x86_64", (3, 10), PIP),
        ("Linux", "x86_64", (3, 13, 0), "pip install --no-deps mxnet==1.9.1"),
        ("Darwin", "x86_64", (3, 13), "pip install --no-deps mxnet==1.9.1"),
        ("Linux", "x86_64", (3, 8, 18), RANGE.format("3.8")),
        ("Linux", "x86_64", (3, 14), RANGE.format("3.14")),
        (
            "Windows",
            "AMD64",
            (3, 11),
            "MXNet 1.9.1 is not published for Windows; install gluon_ssd inside WSL (wsl --install) "
            "or Docker",
        ),
        (
            "Darwin",
            "arm64",
            (3, 13),
            "MXNet 1.9.1 is not published for Apple silicon; use a Python for x86_64, which Rosetta runs "
            "(softwareupdate --install-rosetta), or Docker",
        ),
        (
            "Linux",
            "ppc64le",
            (3, 11),
            "MXNet 1.9.1 is not published for Linux on ppc64le; use Docker on an x86_64 or aarch64 processor",
        ),
    ],
)
def test_the_advice_is_for_the_machine(system, machine, python, advice):
    assert mxnet_advice(system, machine, python) == advice


def test_which_machines_mxnet_is_published_for():
    machines = [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64")]
    assert all(has_mxnet(*machine) for machine in machines)
    others = [("Windows", "AMD64"), ("Darwin", "arm64"), ("Linux", "armv7l"), ("FreeBSD", "amd64")]
    assert not any(has_mxnet(*machine) for machine in others)
