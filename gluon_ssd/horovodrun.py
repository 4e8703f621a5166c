"""``python -m gluon_ssd.horovodrun``: Horovod's launcher, in an environment whose NumPy is newer than MXNet.

The launcher looks whether MXNet can be imported, and beside such a NumPy that works only after gluon_ssd was
imported. With an older NumPy, as in NVIDIA's container, it is the same as ``horovodrun``, which it replaces
in what ``make distributed`` installs.
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
