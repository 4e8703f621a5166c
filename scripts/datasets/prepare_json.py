#!/usr/bin/env python3
"""gluon-ssd prepare-json under the name and with the arguments of the published script."""

import sys

try:
    from gluon_ssd.cli import main
except ImportError:
    sys.exit("error: gluon_ssd is not installed; pip install it, or set PYTHONPATH to its folder")

sys.exit(main(["prepare-json", *sys.argv[1:]]))
