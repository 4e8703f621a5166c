"""``python -m gluon_ssd`` is the same as ``gluon-ssd``."""

import sys

from .cli import main

sys.exit(main())
