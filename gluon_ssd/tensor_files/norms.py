"""Frozen batch norms with an unusual epsilon, in files that hold tensors and cannot state it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# The epsilon of every batch norm here and in the references, except for one published file.
EPSILON = 1e-5

Arrays = Mapping[str, np.ndarray]


def has_no_epsilon(state: Arrays) -> bool:
    """Tells whether the tensors of a reference belong to frozen batch norms of epsilon 0.

    torchvision uses that epsilon for the RetinaNet weights that it has published.
    """
    # These weights have the names of torchvision before version 0.13. MLPerf's reference has the same names,
    # but its convolutions are grouped.
    grouped = state.get("backbone.body.layer1.0.conv2.weight")
    return (
        "head.regression_head.conv.2.weight" in state
        and grouped is not None
        and grouped.shape[0] == grouped.shape[1]
    )


def refit_norms(arrays: Arrays, before: float, after: float) -> dict[str, np.ndarray]:
    """Returns parameters whose norms compute with epsilon ``after`` what they did with ``before``.

    ``arrays`` are parameters by Gluon's names, of constant norms only. The gammas are multiplied by
    ``sqrt((var + after) / (var + before))``. Where both the variance and ``before`` are 0 a norm gave no
    number, and its gamma stays.
    """
    fitted = dict(arrays)
    for name, gamma in arrays.items():
        if not name.endswith("_gamma"):
            continue
        variance = arrays[name[: -len("gamma")] + "running_var"].astype(np.float64)
        # A change of the variance instead would lose digits where it is small beside the epsilon.
        old = np.where(variance + before > 0, variance + before, 1)
        new = np.where(variance + before > 0, variance + after, 1)
        fitted[name] = (gamma * np.sqrt(new / old)).astype(gamma.dtype)
    return fitted
