"""The signals that commands are sent, and what is right about how they end."""

from __future__ import annotations

import random
import signal

from processes import GRACE, PATIENCE, Running

# What is sent, one after the other within a second, by the name that the results have for it.
SIGNALS = {
    "SIGKILL": (signal.SIGKILL,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT": (signal.SIGINT,),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
}
# SIGKILL leaves no time to save anything, so it comes most often.
DECK = ("SIGKILL", "SIGTERM", "SIGKILL", "SIGINT", "SIGKILL", "SIGINT twice")


def stop(running: Running, name: str, rng: random.Random, ours: bool = True) -> str | None:
    """Sends `SIGNALS` of that ``name`` and waits for the end; returns what is wrong with it, or None.

    SIGINT goes to the whole session, as from a terminal; SIGTERM to it (Slurm) or to the process (docker).
    ``ours``: how it ends and what it prints is for gluon_ssd to decide.
    """
    group = rng.random() < 0.5
    for number in SIGNALS[name]:
        running.send(number, group=number == signal.SIGINT or (number == signal.SIGTERM and group))
        running.wait(rng.uniform(0, 1) if len(SIGNALS[name]) > 1 else 0)
    if not running.wait(PATIENCE):
        # Python then says in which line it was.
        running.send(signal.SIGABRT)
        running.wait(GRACE)
        running.kill()
        return f"goes on {PATIENCE:.0f} s after {name}: {running.text()[-3000:]}"
    if left := running.survivors():
        return f"{len(left)} processes outlive {name}"
    status, text = running.process.returncode, running.text()
    # Before Python has set its handlers, the system ends the process by the signal itself.
    wanted = {0, *(128 + number for number in SIGNALS[name]), *(-number for number in SIGNALS[name])}
    if name == "SIGKILL" or not ours or (status in wanted and "Traceback" not in text) or _of_python(text):
        return None
    return f"{name} gives status {status}: {text[-3000:]}"


def _of_python(text: str) -> bool:
    """Returns whether a trace is of Python's own start or end, where no program can catch Ctrl-C."""
    return "__main__.py" not in text and text.rstrip(": \n").endswith("KeyboardInterrupt")
