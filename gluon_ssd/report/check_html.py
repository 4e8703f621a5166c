"""The page of a data-set check: one HTML file with its style inside and its pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data.check.anchors import MATCHING_IOU
from ..data.check.dataset import DatasetCheck, SplitCheck
from ..data.check.findings import ERROR
from .pages import render

# So many items of a finding are named on the page; the JSON file beside it has all of them.
_ITEMS = 50


def check_page(check: DatasetCheck, title: str, model: str, pictures: Sequence[tuple[str, str]]) -> str:
    """Returns the page as HTML. ``pictures`` are (caption, file name beside the page), in order."""
    splits = check.splits.values()
    return render(
        "check.html",
        title=title,
        model=model,
        errors=sum(finding.level == ERROR for finding in check.findings),
        findings=check.findings,
        most_items=_ITEMS,
        matching_iou=MATCHING_IOU,
        splits=[_row(split) for split in splits],
        pictures=pictures,
        classes=list(zip(check.classes, zip(*[split.counts.tolist() for split in splits]))),
        most_objects=max([1] + [int(split.counts.max()) for split in splits]),
    )


def _row(split: SplitCheck) -> dict[str, Any]:
    """What the page says about a split, such as its objects and how many of them no anchor matches."""
    objects, unmatched = len(split.overlaps), int((split.overlaps <= MATCHING_IOU).sum())
    return {
        "check": split,
        "usable": int(split.usable.sum()),
        "with_objects": sum(bool(len(record.boxes)) for record in split.records),
        "objects": objects,
        "unmatched": unmatched,
        "share": f" ({unmatched / objects:.0%})" if objects else "",
    }
