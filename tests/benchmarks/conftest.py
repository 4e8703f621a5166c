"""What the tests of the harnesses of reliability share."""

import importlib
import sys

import pytest
from places import REPOSITORY

HOME = REPOSITORY / "benchmarks" / "reliability"


@pytest.fixture
def module(monkeypatch):
    """Imports a module of the harnesses, which import each other by their bare names."""
    monkeypatch.syspath_prepend(str(HOME))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(HOME) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
