"""A data-set check from the folder to the report."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..console import Console
from ..data.check.anchors import grids_of
from ..data.check.dataset import DatasetCheck, ModelGrids, SplitCheck, check_dataset
from ..data.check.findings import ERROR, NOTE, Finding, printable
from ..data.check.sources import find_sources
from ..data.coco import HOLD_OUT
from ..data.preprocess import Preprocess
from ..data.transforms import training_transform
from ..files import absolute, as_path, atomic_write, make_folder
from ..model_zoo import model_row
from ..model_zoo.registry import ModelRow, model_outline
from ..runs import make_run_dir
from .check_html import check_page
from .check_plots import annotated_sheet, augmented_sheet, plot_classes, plot_sizes
from .picture_file import write_picture

PAGE, FINDINGS = "report.html", "findings.json"
# So many items of a finding are named on the terminal; the report has the others.
_SHOWN = 3


def run_check(
    root: str,
    model: str = "ssd_resnet34",
    output: str | None = None,
    *,
    train: tuple[str | None, str | None] = (None, None),
    val: tuple[str | None, str | None] = (None, None),
    decode: bool = False,
    workers: int = 4,
    orientation: str = "auto",
) -> DatasetCheck:
    """Checks a data set, prints what was found and writes the report into ``output``.

    ``root`` is a data set of any known format, or record files. ``train`` and ``val`` are annotation file and
    image folder, where they are not where COCO has them. Without validation annotations only the training
    split is checked. For ``orientation`` see `turn_for`. ``output`` None is the next runs/check-N. Raises
    UserError for folders and files that are missing or unreadable, and for an unknown model.
    """
    row = model_row(model)
    target = ModelGrids(model, row.input_size, grids_of(_anchors(row), row.input_size))
    sources = find_sources(as_path(root), {"train": train, "val": val}, orientation)
    console = Console()
    try:
        check = check_dataset(sources, target, console, decode=decode, workers=workers)
    finally:
        console.close()
    folder = as_path(output) if output else make_run_dir("check")
    write_check(check, folder, str(absolute(as_path(root))), row, target)
    for line in summary(check, folder):
        console.say(line)
    if "val" not in sources:
        console.say(f"no validation annotations found: {HOLD_OUT}")
    return check


def _anchors(row: ModelRow) -> np.ndarray:
    if row.anchors is None:
        # Only the network knows its anchors; it is built without values for its parameters.
        from ..model_zoo import as_detector

        return as_detector(model_outline(row.name)).anchors(*row.input_size)
    return row.anchors(*row.input_size)


def summary(check: DatasetCheck, folder: Path) -> list[str]:
    """Returns what was found, in lines for a terminal."""
    lines = [
        f"{name}: {int(split.usable.sum())} of {len(split.records)} images usable, "
        f"{len(split.sides)} objects of {int((split.counts > 0).sum())} classes"
        for name, split in check.splits.items()
    ]
    for finding in check.findings:
        where = f"{finding.split}: " if finding.split else ""
        # A sentence about the labels stands for itself.
        sentence = finding.items == (finding.what,)
        named = "" if sentence or finding.level == NOTE else f": {_first(finding)}"
        count = "" if sentence else f"{finding.count} "
        lines.append(f"{finding.level}: {where}{count}{finding.what}{named}")
        lines.append(f"  {finding.advice}")
    errors = sum(finding.level == ERROR for finding in check.findings)
    verdict = f"{errors} kind(s) of error would harm a training" if errors else "fit to train on"
    return [*lines, f"{verdict}; report in {folder / PAGE}"]


def _first(finding: Finding) -> str:
    return "; ".join(finding.items[:_SHOWN]) + ("; ..." if finding.count > _SHOWN else "")


def write_check(
    check: DatasetCheck, folder: Path, title: str, row: ModelRow, target: ModelGrids
) -> None:
    """Writes report.html, its PNG pictures and findings.json into ``folder``.

    Raises UserError where that folder cannot be written.
    """
    make_folder(folder)
    pictures = []
    for split in check.splits.values():
        pictures += _write_pictures(split, check.classes, folder, row, target)
    page = check_page(check, printable(title), row.name, pictures)
    findings = [asdict(finding) for finding in check.findings]
    content = {"harmful": check.harmful, "relative_to": os.getcwd(), "findings": findings}
    with atomic_write(folder / FINDINGS) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with atomic_write(folder / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


def _write_pictures(
    split: SplitCheck, classes: tuple[str, ...], folder: Path, row: ModelRow, target: ModelGrids
) -> list[tuple[str, str]]:
    name, records = split.name, split.usable_records()
    preprocess = Preprocess(size=row.input_size)
    sheets = {"annotated": annotated_sheet(records, classes)}
    if name == "train":
        transform = training_transform(row.default_augment, preprocess)
        sheets["augmented"] = augmented_sheet(records, classes, transform)
    for what, sheet in sheets.items():
        write_picture(sheet, folder / f"{name}_{what}.png")
    plot_classes(split.counts, classes, folder / f"{name}_classes.png")
    drawing = folder / f"{name}_sizes.png"
    plot_sizes(split.sides, split.overlaps, target.grids, row.name, row.input_size, drawing)
    captions = {
        "annotated": f"{name}: as annotated",
        "augmented": f"{name}: as {row.name} sees it in training",
        "sizes": f"{name}: sizes of objects against anchors",
        "classes": f"{name}: objects per class",
    }
    return [
        (caption, f"{name}_{what}.png")
        for what, caption in captions.items()
        if what != "augmented" or what in sheets
    ]
