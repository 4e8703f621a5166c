"""Frozen batch norms whose epsilon is not the usual one, in files that hold tensors and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Of every batch norm here and in the references, but for one file.
EPSILON = 1e-5

Arrays = Mapping[str, np.ndarray]


def has_no_epsilon(state: Arrays) -> bool:
    """Whether a reference's tensors go with frozen batch norms of epsilon 0.

    torchvision runs the RetinaNet weights it has published so. They have the names of its versions before
    0.13, which are those of MLPerf's reference too; but that has grouped convolutions.
    """
    grouped = state.get("backbone.body.layer1.0.conv2.weight")
    return (
        "head.regression_head.conv.2.weight" in state
        and grouped is not None
        and grouped.shape[0] == grouped.shape[1]
    )


def refit_norms(arrays: Arrays, before: float, after: float) -> dict[str, np.ndarray]:
    """Parameters by Gluon's names, whose norms with epsilon ``after`` do what they did with ``before``.

    The gammas change, by ``sqrt((var + after) / (var + before))``; unlike a change of the variances that is
    exact to the last bit or two however small a variance is. It holds for constant norms only. A variance of
    0 under an epsilon of 0 has no such gamma, and none that gave a number before: it stays.
    """
    fitted = dict(arrays)
    for name, gamma in arrays.items():
        if not name.endswith("_gamma"):
            continue
        variance = arrays[name[: -len("gamma")] + "running_var"].astype(np.float64)
        old = np.where(variance + before > 0, variance + before, 1)
        new = np.where(variance + before > 0, variance + after, 1)
        fitted[name] = (gamma * np.sqrt(new / old)).astype(gamma.dtype)
    return fitted
