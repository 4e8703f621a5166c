"""The ``gluon-ssd`` command: one module per verb, each with ``add_parser(subparsers)`` and ``run(args)``."""

from .main import main

__all__ = ["main"]
