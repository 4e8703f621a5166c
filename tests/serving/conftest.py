"""A server of the small run, which most tests share.

What needs the extra ``serve`` is imported in fixtures, because a missing package skips tests, not this file.
"""

from __future__ import annotations

import os

import pytest

from gluon_ssd.serving.settings import TOKEN, Settings, open_detector


@pytest.fixture(autouse=True, scope="session")
def no_token():
    """The token of whoever runs the tests is none of the tests' business."""
    os.environ.pop(TOKEN, None)


@pytest.fixture(scope="session")
def opened(small_run):
    """(detector, threshold) as a server opens them."""
    return open_detector(Settings(str(small_run)))


@pytest.fixture(scope="session")
def detector(small_run):
    """Another detector of the same run: MXNet builds the graph of a network in one thread alone."""
    return open_detector(Settings(str(small_run)))[0]


@pytest.fixture(scope="session")
def settings(small_run):
    """Settings with limits that the tests can reach."""
    return Settings(str(small_run), max_bytes=300_000, max_pixels=1_000_000, max_images=3, access_log=False)


@pytest.fixture(scope="module")
def client(opened, settings):
    """Sends requests to a server with `settings`."""
    from http_server import in_thread

    from gluon_ssd.serving.app import create_app

    with in_thread(create_app(*opened, settings)) as found:
        yield found
