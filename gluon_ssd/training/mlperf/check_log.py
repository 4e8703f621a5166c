"""MLPerf's compliance checker, run on a log by the rules that it was written for."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import as_path
from .log import LOG_FILE, RULES_KEY
from .rules import INSTALL, all_rules, find_rules

_TOKEN = ":::MLLOG "
_RULE = re.compile(r"\n-{30}\n")


@dataclass(frozen=True)
class Verdict:
    """``findings``: what the checker objects to, each in its own words, without the state it prints with it.

    ``output``: all that the checker said.
    """

    log: Path
    rules: str
    passed: bool
    findings: tuple[str, ...]
    output: str


def check_log(log: str | Path, rules: str | None = None) -> Verdict:
    """Runs the compliance checker on a log, or on that of a run folder.

    ``rules``: the version to hold it against; None is the one it was written for, or of a log of somebody
    else's the latest that has its benchmark and keys. Raises UserError for what is no MLPerf log, for unknown
    rules, and without mlperf-logging.
    """
    path = as_path(log)
    if path.is_dir():
        path = path / LOG_FILE
    lines = _read(path)
    version = find_rules(rules).version if rules else detect_rules(path, lines)
    if importlib.util.find_spec("mlperf_logging") is None:
        raise UserError(INSTALL)
    return _run(path, version)


def detect_rules(path: Path, lines: list[dict[str, Any]]) -> str:
    """Returns the version of the rules that the lines of a log were written for. Raises UserError."""
    values = {str(line.get("key")): line.get("value") for line in lines}
    version, known = str(values.get(RULES_KEY)), all_rules()
    if version in known:
        return version
    benchmark = values.get("submission_benchmark")
    named = [rules for rules in known.values() if rules.benchmark == benchmark]
    if not named:
        found = f"is of benchmark {benchmark!r}" if benchmark else "names no benchmark"
        ours = " nor ".join(dict.fromkeys(rules.benchmark for rules in known.values()))
        raise UserError(f"{path}: {found}, neither {ours}; if it is one, say so with --rules")
    # Two families have gone by one name; the hyper-parameters that a log states tell them apart.
    facts = max((rules.facts for rules in named), key=lambda facts: sum(key in values for key in facts.keys))
    fitting = [rules for rules in named if rules.facts == facts]
    lists_tensors = "weights_initialization" in values
    return ([rules for rules in fitting if rules.lists_tensors == lists_tensors] or fitting)[-1].version


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    lines = []
    for line in text.splitlines():
        if _TOKEN in line:
            try:
                value = json.loads(line.split(_TOKEN, 1)[1])
            except ValueError:
                continue  # The checker names it.
            lines += [value] if isinstance(value, dict) else []
    if not lines:
        raise UserError(f"{path}: has no line of an MLPerf log; train with --mlperf-log to get one")
    return lines


def _run(path: Path, version: str) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "output"
        command = [sys.executable, "-m", "mlperf_logging.compliance_checker", "--usage", "training"]
        command += ["--ruleset", version, "--log_output", str(copy), str(path.absolute())]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        output = copy.read_text(encoding="utf-8") if copy.is_file() else ""
    if done.returncode == 0:
        return Verdict(path, version, True, tuple(_findings(output)), output)
    problem = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    if done.returncode != 1:
        raise UserError(f"the installed mlperf-logging cannot check by the rules of {version}: {problem[0]}")
    findings = _findings(output)
    if "Traceback" in done.stderr:
        findings.append(f"the checker broke off: {problem[0]}")
    return Verdict(path, version, False, tuple(findings), output + done.stderr)


def _findings(output: str) -> list[str]:
    found: list[str] = []
    # "WARNING -  one\n----\ntwo\nERROR - FAILED": a level starts a record, a rule divides what one holds.
    for record in re.split(r"^(?=(?:INFO|WARNING|ERROR) - )", output, flags=re.MULTILINE):
        level, _, text = record.partition(" - ")
        if level == "WARNING":
            found += [_shortened(part) for part in _RULE.split(text.strip())]
    return [finding for finding in found if finding and finding != "Found parsing errors:"]


def _shortened(finding: str) -> str:
    """Returns one line, without the checker's state and the whole line of the log, which fill screens."""
    kept: list[str] = []
    for line in finding.splitlines():
        if line.startswith("current context[s]="):
            break
        if not line.startswith(_TOKEN):
            kept += line.split()
    if kept[:1] == ["^^"]:
        kept = ["a line cannot be parsed:", *kept[1:]]
    text = " ".join(kept)
    return text if len(text) <= 200 else f"{text[:197]}..."
