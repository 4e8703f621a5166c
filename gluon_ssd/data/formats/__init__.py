"""Formats of data sets: reading one, writing another, and adding a format of one's own.

Names are imported at their first use, so that importing the package needs no OpenCV.
"""

from __future__ import annotations

from ...lazy import names_on_use

_WHERE = {
    "Box": ".model",
    "DataSet": ".model",
    "Format": ".registry",
    "LIKELY": ".registry",
    "NO": ".registry",
    "Options": ".model",
    "POSSIBLE": ".registry",
    "Picture": ".model",
    "Placer": ".placing",
    "SURE": ".registry",
    "Sheet": ".sheet",
    "convert_data": ".conversion",
    "list_formats": ".registry",
    "read_dataset": ".conversion",
    "register_format": ".registry",
}

__all__ = sorted(_WHERE)

__getattr__, __dir__ = names_on_use(__name__, _WHERE)
