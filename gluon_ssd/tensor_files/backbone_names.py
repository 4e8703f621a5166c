"""Converts residual backbones between NVIDIA's short names (``stage1_conv0_weight``) and torchvision's.

NVIDIA counts the convolutions of a stage in order. In the first block the shortcut comes after the other
convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ..errors import UserError
from .names import plain_name, refuse_gluoncv_ssd
from .norms import EPSILON, has_no_epsilon, refit_norms

_LEAVES = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"}
_FIRST = "layer1.0.conv1.weight"
_BLOCK = re.compile(r"layer(\d)\.(\d+)\.conv(\d)\.weight")
_SHORT = re.compile(r"(?:stage(\d)_)?(?:conv|batchnorm)(\d+)_(weight|gamma|beta|running_mean|running_var)")
_ORDER = ("weight", "gamma", "beta", "running_mean", "running_var")

Arrays = Mapping[str, np.ndarray]


def torch_prefix(state: Arrays) -> str | None:
    """Returns what precedes torchvision's names, mostly nothing, or None where there is no such network."""
    prefixes = {name[: -len(_FIRST)] for name in state if name.endswith(_FIRST)}
    found = [prefix for prefix in prefixes if f"{prefix}conv1.weight" in state]
    return found[0] if len(found) == 1 else None


def name_table(names: Arrays, prefix: str = "") -> dict[str, str]:
    """Returns the torchvision name of every short name, for all convolutions and norms in NVIDIA's order."""
    # By (stage, block), how many convolutions the block has besides its shortcut.
    counts: dict[tuple[int, int], int] = {}
    for name in names:
        match = _BLOCK.fullmatch(name[len(prefix) :]) if name.startswith(prefix) else None
        if match:
            stage, block, conv = map(int, match.groups())
            counts[stage, block] = max(counts.get((stage, block), 0), conv)
    table = _layer("", 0, "conv1", "bn1")
    number: dict[int, int] = {}
    for stage, block in sorted(counts):
        source = f"layer{stage}.{block}"
        layers = [(f"{source}.conv{i}", f"{source}.bn{i}") for i in range(1, counts[stage, block] + 1)]
        if f"{prefix}{source}.downsample.0.weight" in names:
            layers.append((f"{source}.downsample.0", f"{source}.downsample.1"))
        for conv_name, norm in layers:
            index = number.setdefault(stage, 0)
            table.update(_layer(f"stage{stage}_", index, conv_name, norm))
            number[stage] = index + 1
    return {short: prefix + name for short, name in table.items()}


def _layer(stage: str, index: int, conv: str, norm: str) -> dict[str, str]:
    """Returns the torchvision names of one convolution and its norm, by short name."""
    table = {f"{stage}conv{index}_weight": f"{conv}.weight"}
    for theirs, ours in _LEAVES.items():
        table[f"{stage}batchnorm{index}_{ours}"] = f"{norm}.{theirs}"
    return table


def gluoncv_to_torch(state: Arrays) -> dict[str, np.ndarray]:
    """Returns a ResNet v1b of GluonCV under torchvision's names, and any other ``state`` as it is.

    The paths in a file of GluonCV differ from torchvision's names only in its norms.
    """
    if _FIRST not in state or "bn1.gamma" not in state:
        return dict(state)
    leaves = {f".{ours}": f".{theirs}" for theirs, ours in _LEAVES.items()}
    return {re.sub(r"\.(gamma|beta)$", lambda m: leaves[m[0]], name): a for name, a in state.items()}


def short_names(state: Arrays) -> dict[str, np.ndarray]:
    """Returns all convolutions and norms of a backbone by their short names.

    ``state`` has torchvision's names or Gluon's parameter names. Gluon's prefixes (``ssd0_resnetmlperf0_``),
    its ``arg:`` and ``aux:``, and all tensors outside the backbone are left out; shapes do not change. The
    norms of torchvision's published RetinaNet, which have an epsilon of 0, are refitted to the 1e-5 of all
    others. Raises UserError when this is no residual network.
    """
    state = gluoncv_to_torch(state)
    prefix = torch_prefix(state)
    if prefix is not None:
        table = name_table(state, prefix)
        missing = [name for name in table.values() if name not in state]
        if missing:
            raise UserError(f"not a whole ResNet: {missing[0]} is missing ({len(missing)} tensors in all)")
        arrays = {short: state[name] for short, name in table.items()}
        return refit_norms(arrays, 0, EPSILON) if has_no_epsilon(state) else arrays
    refuse_gluoncv_ssd(state)
    state = {plain_name(name): value for name, value in state.items()}
    first = "stage1_conv0_weight"
    prefixes = {name[: -len(first)] for name in state if name.endswith(first)}
    if len(prefixes) != 1:
        raise UserError(
            "not the weights of a ResNet: neither layer1.0.conv1.weight nor stage1_conv0_weight in it"
        )
    prefix = prefixes.pop()
    arrays = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    return {name: value for name, value in arrays.items() if _SHORT.fullmatch(name)}


def backbone_arrays(state: Arrays, stages: int | None = None) -> dict[str, np.ndarray]:
    """Returns the arrays of the first ``stages`` stages by short name, in NVIDIA's order.

    ``state`` holds convolutions as OIHW, and shapes do not change. By default as many stages are returned as
    the detectors use: 3 (SSD), or 4 of a ResNeXt (RetinaNet). Raises UserError when ``state`` is no such
    network or has fewer stages.
    """
    arrays = short_names(state)
    places = {name: _order(name) for name in arrays}
    there = max(stage for stage, _, _ in places.values())
    if stages is not None and stages > there:
        raise UserError(f"{stages} stages are asked for (--stages), and it has {there}")
    if stages is None:
        # A ResNeXt is known by its grouped convolutions, whose weights have fewer input channels than the
        # convolution before has outputs.
        before, grouped = arrays["stage1_conv0_weight"], arrays.get("stage1_conv1_weight")
        stages = 4 if grouped is not None and grouped.shape[1] < before.shape[0] else 3
    kept = [name for name in sorted(arrays, key=places.__getitem__) if places[name][0] <= stages]
    # In the machine's byte order and contiguous, whatever the file had.
    return {name: np.array(arrays[name], arrays[name].dtype.type, order="C") for name in kept}


def _order(name: str) -> tuple[int, int, int]:
    """Returns the key by which NVIDIA's files are sorted: stage, number of the layer, kind of parameter."""
    match = _SHORT.fullmatch(name)
    assert match  # `short_names` lets no others through
    return int(match[1] or 0), int(match[2]), _ORDER.index(match[3])


def torch_names(arrays: Arrays) -> dict[str, np.ndarray]:
    """Returns a backbone under torchvision's names, which `short_names` turns back.

    ``arrays`` holds convolutions as OIHW, by short names or by Gluon's. Raises UserError when this is no
    whole ResNet.
    """
    arrays = short_names(arrays)
    first = arrays["stage1_conv0_weight"]
    # A block has three convolutions where the first is 1x1 (a bottleneck), and else two.
    size = 3 if first.ndim == 4 and first.shape[2:] == (1, 1) else 2
    table = _layer("", 0, "conv1", "bn1")
    for stage in range(1, 5):
        count = len([name for name in arrays if re.fullmatch(rf"stage{stage}_conv\d+_weight", name)])
        # Whole blocks have `size` convolutions each; one that is left over is the first block's shortcut.
        shortcut = count % size
        for index in range(count):
            block, place = _place(index, size, shortcut)
            source = f"layer{stage}.{block}"
            inside = place < size
            conv = f"{source}.conv{place + 1}" if inside else f"{source}.downsample.0"
            norm = f"{source}.bn{place + 1}" if inside else f"{source}.downsample.1"
            table.update(_layer(f"stage{stage}_", index, conv, norm))
    unknown = sorted(set(arrays) - set(table)) + sorted(set(table) - set(arrays))
    if unknown:
        raise UserError(f"not a whole ResNet: {', '.join(unknown[:5])}")
    return {name: arrays[short] for short, name in table.items()}


def _place(index: int, size: int, shortcut: int) -> tuple[int, int]:
    """Returns the block of a stage's convolution ``index``, and its place there (``size``: the shortcut)."""
    if shortcut and index <= size:
        return 0, index
    return divmod(index - shortcut, size)
