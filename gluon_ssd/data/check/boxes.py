"""Judges the annotations: boxes that training drops, doubles, sizes against the network, classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...errors import quoted
from ..coco import fit_boxes, misread
from ..coco_json import CocoFile
from ..records import Record
from .anchors import MATCHING_IOU
from .findings import ERROR, NOTE, WARNING, Findings

# An object that is narrower than this many pixels of the network's input leaves little to see.
TINY = 4
# Findings that may concern most of a data set keep only so many items.
_MOST = 1000


def judge_boxes(file: CocoFile, names: Sequence[str], findings: Findings) -> None:
    """Reports boxes that cannot be what they are read as, that training drops or clips, or that come twice.

    ``names`` are those of the images.
    """
    for doubt in misread(file):
        findings.add(ERROR if doubt.error else WARNING, doubt.text, [str(file.path)], doubt.cure)
    _, sized, inside, over = fit_boxes(file)
    # Of a missing image whose size is not given nobody knows what is outside.
    known = ((file.widths > 0) & (file.heights > 0))[file.image_index]

    def named(mask: np.ndarray) -> list[str]:
        return [_annotation(file, names, index) for index in np.flatnonzero(mask).tolist()]

    findings.add(
        WARNING, "boxes without width or height", named(~sized), "dropped in training; correct 'bbox'"
    )
    findings.add(
        WARNING,
        "boxes outside the image",
        named(sized & ~inside & known),
        "dropped in training; 'bbox' is [x, y, width, height] in pixels",
    )
    findings.add(
        NOTE,
        "boxes that reach over the border",
        named(sized & inside & over),
        "clipped in training; many of them hint at wrong units or another image size",
        _MOST,
    )
    findings.add(
        WARNING,
        "annotations given twice",
        named(_doubles(file)),
        "the same image, class and box as another; remove one",
    )


def _annotation(file: CocoFile, names: Sequence[str], index: int) -> str:
    box = ", ".join(f"{side:g}" for side in file.xywh[index])
    return f"{names[file.image_index[index]]}: annotation {file.ids[index]}, bbox [{box}]"


def _doubles(file: CocoFile) -> np.ndarray:
    """Whether an earlier annotation has the same image, class, box and crowd flag: bool (m,)."""
    columns = [file.image_index, file.category_index, file.crowd]
    rows = np.concatenate([np.stack(columns, axis=1).astype(np.float64), file.xywh], axis=1)
    # ``unique`` returns the index of the first of equal rows, so all others repeat an earlier one.
    doubled = np.ones(len(rows), bool)
    doubled[np.unique(rows, axis=0, return_index=True)[1]] = False
    return doubled


def judge_records(records: Sequence[Record], names: Sequence[str], findings: Findings) -> None:
    """Reports images that hold nothing to learn from, by their ``names``."""
    named = list(zip(names, records))
    empty = [name for name, record in named if not len(record.boxes)]
    crowds = [name for name, record in named if len(record.boxes) and record.crowd.all()]
    used = "training leaves them out" if findings.split == "train" else "anything found there is wrong"
    findings.add(NOTE, "images without objects", empty, used, _MOST)
    findings.add(NOTE, "images with crowd regions only", crowds, "nothing to find there", _MOST)
    if findings.split == "train" and len(empty) + len(crowds) == len(records):
        findings.add(ERROR, "no object to learn from", ["every image"], "annotate objects")
    elif len(empty) + len(crowds) == len(records):
        findings.add(WARNING, "no object to score", ["every image"], "mAP will be -1; annotate objects")


def judge_classes(counts: np.ndarray, classes: Sequence[str], own: Iterable[str], findings: Findings) -> None:
    """Reports classes without objects, and classes of this split (``own``) that training does not have."""
    empty = [name for name, count in zip(classes, counts.tolist()) if not count]
    if findings.split == "train":
        if counts.any():
            advice = "they cannot be learnt; add objects or remove the classes"
            findings.add(WARNING, "classes without an object", empty, advice)
        return
    own = list(own)
    missing = [name for name in classes if name not in own]
    findings.add(
        NOTE,
        "classes of training missing",
        missing,
        "no object of theirs is scored; list all classes of training in 'categories' if there are some",
    )
    findings.add(
        WARNING,
        "classes that training lacks",
        [quoted(name) for name in own if name not in classes],
        "their objects are left out of the score",
    )
    # Those that are missing altogether were reported above.
    unscored = [name for name in empty if name not in missing]
    findings.add(NOTE, "classes without an object", unscored, "they do not count in mAP")


def judge_sizes(
    names: Sequence[str], sides: np.ndarray, overlaps: np.ndarray, model: str, findings: Findings
) -> None:
    """Reports objects that are small in the input, and objects that no anchor matches.

    Objects (n,) are named by their image; ``sides`` (n, 2) are in input pixels and ``overlaps`` (n,) the best
    IoU with an anchor.
    """
    small = sides.min(axis=1) < TINY if len(sides) else np.zeros(0, bool)
    findings.add(
        NOTE,
        f"objects narrower than {TINY} pixels of the input of {model}",
        [f"{names[i]}: {sides[i, 0]:.1f} x {sides[i, 1]:.1f}" for i in np.flatnonzero(small).tolist()],
        "hard to see at this size; a model of a larger input, or cut the images into tiles",
        _MOST,
    )
    lonely = overlaps <= MATCHING_IOU
    # A few such objects are in every data set; most of them are a sign of unsuitable anchors.
    level = WARNING if len(overlaps) and lonely.mean() > 0.5 else NOTE
    findings.add(
        level,
        f"objects without an anchor of {model} above IoU {MATCHING_IOU}",
        [f"{names[i]}: {sides[i, 0]:.1f} x {sides[i, 1]:.1f}" for i in np.flatnonzero(lonely).tolist()],
        "each is learnt by its one best anchor; where they are most, choose a model of other anchors",
        _MOST,
    )
