"""Two ranks in network namespaces of their own, whose connection is cut for a while or for good."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from processes import PATIENCE, Running
from ranks import GONE, Ranks, error_line, row, wait_for
from results import Row
from trainings import launched

HOSTS = ("reliability-one", "reliability-two")
ADDRESSES = ("10.213.9.1", "10.213.9.2")
# Seconds after which the connection is there again, None for never; whether both then go on.
CASES = {
    "the network between two machines cut for 10 s": (10, True),
    "the network between two machines cut for good": (None, False),
}


def measure(count: int, seed: int, folder: Path) -> Iterator[Row]:
    """Tries each of `CASES` once, and yields a row for each; without Horovod there is none."""
    if importlib.util.find_spec("horovod") is None:
        return
    with two_hosts():
        pair = Apart(folder)
        for number, (name, (seconds, on)) in enumerate(CASES.items()):
            yield row(name, *pair.cut_off(folder / f"run{number}", seconds, on))


@contextlib.contextmanager
def two_hosts() -> Iterator[None]:
    """Makes two network namespaces with a cable between them, and removes them."""
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ends = [("name", f"rel{number}", "netns", host) for number, host in enumerate(HOSTS)]
        ip("link", "add", *ends[0], "type", "veth", "peer", *ends[1])
        for number, (host, address) in enumerate(zip(HOSTS, ADDRESSES)):
            ip("-n", host, "addr", "add", f"{address}/24", "dev", f"rel{number}")
            ip("-n", host, "link", "set", f"rel{number}", "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "del", host], capture_output=True)


def ip(*words: str) -> None:
    """Runs the system's ``ip``."""
    subprocess.run(["ip", *words], check=True)


def cut(now: bool) -> None:
    """Has every packet go where no card is, as behind a switch that is down; or to the other host again."""
    for number, host in enumerate(HOSTS):
        words = ("neigh", "replace" if now else "del", ADDRESSES[1 - number], "dev", f"rel{number}")
        ip("-n", host, *words, *(("lladdr", "02:00:00:00:00:99", "nud", "permanent") if now else ()))


class Apart(Ranks):
    """`Ranks` on two hosts."""

    def place(self, rank: int, port: int) -> tuple[Sequence[str], dict[str, str]]:
        # Horovod takes one of its addresses from the host's name.
        named = ["unshare", "--uts", "sh", "-c", f'hostname {ADDRESSES[rank]} && exec "$@"', "sh"]
        told = launched(rank, f"{ADDRESSES[0]}:{port}", 2, local=False)
        return ["ip", "netns", "exec", HOSTS[rank], *named], {**told, "HOROVOD_GLOO_IFACE": f"rel{rank}"}

    def cut_off(self, run: Path, seconds: float | None, on: bool) -> tuple[list[str], str]:
        """Cuts the network in the middle of a training; returns what went wrong, and what the ranks did."""
        sign = run.with_suffix(".sign")
        running = self.train(run, hits={1: ("step", 5, 0, sign)})
        if not wait_for(sign.exists, running):
            self.end(running, 0)
            return [f"the moment did not come: {running[1].text()[-800:]}"], ""
        cut(True)
        began = time.monotonic()
        if seconds is not None:
            time.sleep(seconds)
            cut(False)
        faults = list(filter(None, [self.end(running, PATIENCE if on else 60, 0 if on else None)]))
        took = time.monotonic() - began
        if seconds is None:
            cut(False)
        faults += [] if on else _named(running)
        faults += self.goes_on(run, ended=on and not faults)
        return faults, f"{'both went on and ended' if on else 'both ended'} after {took:.0f} s"


def _named(running: Sequence[Running]) -> list[str]:
    return [f"says {error_line(each)!r}" for each in running if GONE not in error_line(each)]
