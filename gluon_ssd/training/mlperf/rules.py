"""The versions of MLPerf Training's rules that have a detection benchmark of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import UserError, unknown

if TYPE_CHECKING:
    from ...model_zoo.registry import MlperfBenchmark

INSTALL = 'mlperf-logging is not installed; pip install "gluon_ssd[mlperf]"'


@dataclass(frozen=True)
class Rules:
    """One version of the rules of one family's benchmark."""

    version: str
    family: str
    facts: MlperfBenchmark

    @property
    def benchmark(self) -> str:
        """What this version calls the benchmark."""
        return self.facts.versions[self.version]

    @property
    def target(self) -> float:
        """The mAP that ends a run."""
        return self.facts.target

    @property
    def lists_tensors(self) -> bool:
        """Whether a log has to name the trained tensors."""
        return _number(self.version) <= _number(self.facts.tensors_until)


def _number(version: str) -> tuple[int, ...]:
    # As numbers, so that 10.0.0 comes after 2.0.0.
    return tuple(map(int, version.split(".")))


def all_rules() -> dict[str, Rules]:
    """Returns the rules of every family in the zoo by their version, oldest first."""
    from ...model_zoo import list_models, model_row

    found = {}
    for row in map(model_row, list_models("detector")):
        if row.mlperf is not None:
            found.update({version: Rules(version, row.family, row.mlperf) for version in row.mlperf.versions})
    return {version: found[version] for version in sorted(found, key=_number)}


def find_rules(version: str) -> Rules:
    """Returns the rules of a version. Raises UserError for one without a detection benchmark."""
    known = all_rules()
    if version not in known:
        raise unknown("version of MLPerf's rules", version, known)
    return known[version]


def rules_for(model: str, version: str | None = None) -> Rules:
    """Returns the rules for ``model``: of ``version``, else the latest. Raises UserError if none fit."""
    from ...model_zoo import model_row

    row = model_row(model)
    if row.mlperf is None:
        titles = sorted({rules.facts.title for rules in all_rules().values()}, reverse=True)
        raise UserError(f"MLPerf has no benchmark for {model}; it has for {' and '.join(titles)}")
    rules = find_rules(version or list(row.mlperf.versions)[-1])
    if rules.facts != row.mlperf:
        fitting = ", ".join(row.mlperf.versions)
        raise UserError(
            f"recipe key 'mlperf_rules': {rules.version} is for {rules.family}, {model} has {fitting}"
        )
    return rules
