"""``python -m gluon_ssd`` is the same as ``gluon-ssd``."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line and returns its exit status, also where Ctrl-C comes while that is imported."""
    try:
        from .cli import main as command_line

        return command_line()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
