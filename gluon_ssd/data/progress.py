"""Reporting how far a long piece of work has come."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar

_Item = TypeVar("_Item")


class ProgressReporter(Protocol):
    """Shows how far a long piece of work has come; `console.Console` is one."""

    def start(self, title: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def stop(self) -> None: ...


class Silent:
    """A progress that shows nothing."""

    def start(self, title: str, total: int) -> None:
        return

    def advance(self, count: int) -> None:
        return

    def stop(self) -> None:
        return


def counted(items: Collection[_Item], title: str, progress: ProgressReporter) -> Iterator[_Item]:
    """Yields ``items`` and tells ``progress`` of each when it is done."""
    progress.start(title, len(items))
    for item in items:
        yield item
        progress.advance(1)
    progress.stop()
