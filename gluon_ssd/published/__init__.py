"""The command lines of the published trainings: their options, and what these are here.

Foreign names stand only in this package. `options` has the tables and `translation` applies them; the entry
is `gluon_ssd.main`.
"""

from .options import OPTIONS, SYSTEMS, Option, System
from .translation import Translation, build_parser, pick_system, translate

__all__ = [
    "OPTIONS",
    "SYSTEMS",
    "Option",
    "System",
    "Translation",
    "build_parser",
    "pick_system",
    "translate",
]
