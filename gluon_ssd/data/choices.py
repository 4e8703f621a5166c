"""What a user may say about labels that do not say it themselves.

It imports nothing, so that the command line can name it at once.
"""

from __future__ import annotations

# Which picture boxes are for where their image's size does not tell, see `orientation.turn_for`.
ORIENTATIONS = ("auto", "stored", "upright")
# What the four numbers of a box are, see `units`.
READINGS = ("xywh", "xyxy", "cxcywh", "xywhn", "xyxyn", "cxcywhn")
