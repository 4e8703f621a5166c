"""The versions of MLPerf Training's rules that have a detection benchmark of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import UserError, unknown


@dataclass(frozen=True)
class Rules:
    """``benchmark``: what they call the model; ``target``: the mAP they ask for."""

    version: str
    model: str
    family: str
    benchmark: str
    target: float


def _rules(version: str) -> Rules:
    major = int(version.split(".")[0])
    if major < 2:
        return Rules(version, "ssd_resnet34", "ssd", "ssd", 0.23)
    # RetinaNet took over SSD's place, and for three years its name.
    benchmark = "ssd" if major < 5 else "retinanet"
    return Rules(version, "retinanet_resnext50_32x4d", "retinanet", benchmark, 0.34)


_VERSIONS = ("1.0.0", "1.1.0", "2.0.0", "2.1.0", "3.0.0", "3.1.0", "4.0.0", "4.1.0", "5.0.0", "5.1.0")
RULES = {version: _rules(version) for version in _VERSIONS}
LATEST = {"ssd": "1.1.0", "retinanet": "5.1.0"}
INSTALL = 'mlperf-logging is not installed; pip install "gluon_ssd[mlperf]"'


def find_rules(version: str) -> Rules:
    """The rules of a version. Raises UserError, naming the nearest, for one without SSD and RetinaNet."""
    if version not in RULES:
        raise unknown("version of MLPerf's rules", version, RULES)
    return RULES[version]


def rules_for(model: str, version: str | None = None) -> Rules:
    """The rules for ``model``: of ``version``, else the latest. Raises UserError where they do not fit."""
    from ...model_zoo import model_row

    family = model_row(model).family
    if family not in LATEST:
        raise UserError(f"MLPerf has no benchmark for {model}; it has for SSD and RetinaNet")
    rules = find_rules(version or LATEST[family])
    if rules.family != family:
        fitting = ", ".join(known.version for known in RULES.values() if known.family == family)
        raise UserError(
            f"recipe key 'mlperf_rules': {rules.version} is for {rules.family}, {model} has {fitting}"
        )
    return rules


def tensor_names(net: Any) -> list[str]:
    """The trained tensors under the names that the rules list them by, in the network's order.

    NVIDIA's names of an SSD, the MLPerf reference's of a RetinaNet, whose frozen norms do not count.
    """
    from ...model_zoo import model_row

    parameters = net.collect_params()
    if model_row(net.model_name).family == "ssd":
        return [name for name in parameters if not name.endswith(("running_mean", "running_var"))]
    from ...convert.names import mlperf_retinanet_entries

    norms = ("gamma", "beta", "running_mean", "running_var")
    kept = [entry for entry in mlperf_retinanet_entries(net) if not entry.name.endswith(norms)]
    return [f"module.{source}" for entry in kept for source in entry.sources]
