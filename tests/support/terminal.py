"""Programs run on a terminal, and what is left to be seen there."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys

from places import REPOSITORY


def on_a_terminal(program, folder, columns=80):
    """What a Python program, run in ``folder``, sends to a terminal of this width."""
    main, other = pty.openpty()
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "COLUMNS": str(columns),
        "LINES": "24",
        "TERM": "xterm-256color",
    }
    process = subprocess.Popen([sys.executable, "-c", program], cwd=folder, env=environment, stdout=other)
    os.close(other)
    received = b""
    while select.select([main], [], [], 60)[0]:
        try:
            part = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        received += part
    os.close(main)
    assert process.wait(timeout=60) == 0
    return received.decode()


def screen(text):
    """The lines that are left on the screen: understands what moves up and what clears a line."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|\r\n|\r|\n|[^\x1b\r\n]+", text):
        if part == "\r\n" or part == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b") and part != "\r":
            lines[row] += part
    return [line.rstrip() for line in lines if line.strip()]
