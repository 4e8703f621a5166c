"""The command lines of the published trainings: their options, and what they come to here.

The only place with foreign names. `options` has the tables, `translation` applies them; the entry is
`gluon_ssd.main`.
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
