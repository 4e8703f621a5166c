"""``python -m gluon_ssd.horovodrun``: Horovod's launcher, in an environment whose NumPy is newer than MXNet.

The launcher looks whether MXNet can be imported, and beside such a NumPy it can only after gluon_ssd. With
older ones, as in NVIDIA's container, it is the same as ``horovodrun``, whose place it takes in what
``make distributed`` installs.
"""

from __future__ import annotations

import sys

from .errors import UserError, import_problem


def main() -> None:
    """Runs Horovod's command line with the arguments of this process."""
    try:
        from horovod.runner.launch import run_commandline
    except ImportError as error:
        problem = import_problem(error) or UserError(str(error))
        sys.exit(f"error: {problem}")
    sys.exit(run_commandline())


if __name__ == "__main__":
    main()
