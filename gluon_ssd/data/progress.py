"""Telling how far a long work has come."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar

_Item = TypeVar("_Item")


class ProgressReporter(Protocol):
    """Who is told how far a long work has come: `console.Console` is one."""

    def start(self, title: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def stop(self) -> None: ...


class Silent:
    """Progress that nobody looks at."""

    def start(self, title: str, total: int) -> None:
        return

    def advance(self, count: int) -> None:
        return

    def stop(self) -> None:
        return


def counted(items: Collection[_Item], title: str, progress: ProgressReporter) -> Iterator[_Item]:
    """Yield ``items``, telling ``progress`` of each that is done with."""
    progress.start(title, len(items))
    for item in items:
        yield item
        progress.advance(1)
    progress.stop()
