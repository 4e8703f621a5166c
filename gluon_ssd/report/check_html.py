"""The page of a data-set check: one HTML file, its style inside, its pictures beside it."""

from __future__ import annotations

from html import escape
from typing import Mapping, Sequence
from urllib.parse import quote

from ..data.check.anchors import MATCHING_IOU
from ..data.check.dataset import DatasetCheck, SplitCheck
from ..data.check.findings import ERROR, Finding

# Named in full on the page; the JSON beside it has the others.
_SHOWN = 50
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1100px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin-top:2em}
p.path{color:#666;margin-top:0;overflow-wrap:anywhere}
.verdict{padding:.7em 1em;border-radius:6px;background:#e3f4ec;border-left:6px solid #009e73}
.verdict.error{background:#fdeae0;border-color:#d55e00}
table{border-collapse:collapse}th,td{padding:.25em .9em .25em 0;text-align:left;vertical-align:top}
th{color:#666;font-weight:600}tr+tr td{border-top:1px solid #e4e4e4}td.n,th.n{text-align:right}
.tag{display:inline-block;min-width:4.6em;text-align:center;border-radius:4px;color:#fff;font-size:.85em}
.tag.error{background:#d55e00}.tag.warning{background:#a86f00}.tag.note{background:#5b7285}
details ul{margin:.2em 0;padding-left:1.2em;font-size:.9em}summary{cursor:pointer}
li,td.path{overflow-wrap:anywhere}.advice{color:#666}
.bar{display:inline-block;height:.7em;background:#0072b2;border-radius:2px}.zero{color:#d55e00}
img{max-width:100%;height:auto;border:1px solid #e4e4e4;border-radius:4px}
"""


def check_page(check: DatasetCheck, title: str, model: str, pictures: Sequence[tuple[str, str]]) -> str:
    """Return the page. ``pictures``: (caption, file name beside the page), in order."""
    errors = sum(finding.level == ERROR for finding in check.findings)
    verdict = (
        f"{errors} kind(s) of error would stop or spoil a training."
        if errors
        else "Nothing that would harm a training."
    )
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>Check of {escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Data-set check</h1><p class=path>{escape(title)}, against {escape(model)}</p>",
        f"<p class='verdict{' error' if errors else ''}'>{verdict}</p>",
        "<h2>Findings</h2>",
        _findings_table(check.findings),
        "<h2>Splits</h2>",
        _split_table(check.splits),
    ]
    for caption, name in pictures:
        parts.append(f"<h2>{escape(caption)}</h2><img alt='{escape(caption)}' src='{quote(name)}'>")
    parts += ["<h2>Classes</h2>", _class_table(check), "</body></html>"]
    return "\n".join(parts) + "\n"


def _findings_table(findings: Sequence[Finding]) -> str:
    if not findings:
        return "<p>None.</p>"
    return "<table>" + "".join(map(_finding_row, findings)) + "</table>"


def _finding_row(finding: Finding) -> str:
    items = "".join(f"<li>{escape(item)}</li>" for item in finding.items[:_SHOWN])
    more = finding.count - min(len(finding.items), _SHOWN)
    if more:
        items += f"<li>and {more} more</li>"
    level = finding.level
    return (
        f"<tr><td><span class='tag {level}'>{level}</span></td><td>{escape(finding.split)}</td>"
        f"<td class=n>{finding.count}</td><td><details><summary>{escape(finding.what)}</summary>"
        f"<ul>{items}</ul></details><span class=advice>{escape(finding.advice)}</span></td></tr>"
    )


def _split_table(splits: Mapping[str, SplitCheck]) -> str:
    rows = [
        "<table><tr><th>split</th><th class=n>images</th><th class=n>usable</th><th class=n>with objects</th>"
        "<th class=n>objects</th><th class=n>boxes dropped</th>"
        f"<th class=n>best anchor IoU &le; {MATCHING_IOU}</th><th>files</th></tr>"
    ]
    for name, split in splits.items():
        with_objects = sum(bool(len(record.boxes)) for record in split.records)
        alone = int((split.overlaps <= MATCHING_IOU).sum())
        share = f" ({alone / len(split.overlaps):.0%})" if len(split.overlaps) else ""
        dropped = "<br>".join(f"{count} {escape(reason)}" for reason, count in split.dropped.items()) or "0"
        cells = [len(split.records), int(split.usable.sum()), with_objects, len(split.overlaps)]
        numbers = "".join(f"<td class=n>{cell}</td>" for cell in cells)
        rows.append(
            f"<tr><td>{escape(name)}</td>{numbers}<td class=n>{dropped}</td><td class=n>{alone}{share}</td>"
            f"<td class=path>{escape(str(split.annotation))}<br>{escape(str(split.images_dir))}</td></tr>"
        )
    return "".join(rows) + "</table>"


def _class_table(check: DatasetCheck) -> str:
    names = list(check.splits)
    head = "".join(f"<th class=n>{escape(name)}</th>" for name in names)
    most = max([1] + [int(split.counts.max()) for split in check.splits.values()])
    rows = [f"<table><tr><th>class</th>{head}<th></th></tr>"]
    for index, label in enumerate(check.classes):
        counts = [int(check.splits[name].counts[index]) for name in names]
        cells = "".join(f"<td class='n{'' if count else ' zero'}'>{count}</td>" for count in counts)
        bar = f"<span class=bar style='width:{240 * counts[0] / most:.0f}px'></span>"
        rows.append(f"<tr><td>{escape(label)}</td>{cells}<td>{bar}</td></tr>")
    return "".join(rows) + "</table>"
