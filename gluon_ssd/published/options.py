"""All published command lines and their options in one table; where two fit, the earlier system is meant."""

from __future__ import annotations

from . import dle, retinanet, ssd_main
from .table import Option, System

SYSTEMS: tuple[System, ...] = (*dle.SYSTEMS, *ssd_main.SYSTEMS, *retinanet.SYSTEMS)
OPTIONS: tuple[Option, ...] = (*dle.OPTIONS, *ssd_main.OPTIONS, *retinanet.OPTIONS)

__all__ = ["OPTIONS", "SYSTEMS", "Option", "System"]
