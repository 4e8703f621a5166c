"""Sets the parameters of a network, whose classes may differ from those they were trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import UserError
from ..nn import assign
from ..tensor_files.layout import all_to_layout, cut_padding


@dataclass
class TransferReport:
    """What became of every parameter of the network, by name.

    ``reused`` were copied whole; of ``remapped`` the rows of shared classes were copied; ``kept_initial``
    have their initial values; ``unused`` were in the file and are not in the network. ``shared_classes`` and
    ``new_classes`` are the network's classes that were known and not known.
    """

    reused: list[str] = field(default_factory=list)
    remapped: list[str] = field(default_factory=list)
    kept_initial: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    shared_classes: tuple[str, ...] = ()
    new_classes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Returns the report as a few lines of text."""
        text = [f"{len(self.reused)} parameters reused as they are"]
        if self.remapped:
            text.append(
                f"{len(self.remapped)} of prediction layers reused row by row, for box deltas, background "
                f"and {len(self.shared_classes)} classes of the same name "
                f"({_some(self.shared_classes) or 'none'}): {_some(self.remapped)}"
            )
        if self.remapped and self.new_classes:
            text.append(f"{len(self.new_classes)} classes start anew: {_some(self.new_classes)}")
        if self.kept_initial:
            text.append(f"{len(self.kept_initial)} left as initialised: {_some(self.kept_initial)}")
        if self.unused:
            text.append(f"{len(self.unused)} of the file not used: {_some(self.unused)}")
        return text


def _some(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def set_parameters(net: Any, arrays: Mapping[str, np.ndarray], source: str) -> None:
    """Sets every parameter of ``net`` from ``arrays``, which have its parameter names and either layout.

    ``source`` names their origin in messages. Raises UserError, before anything is changed, unless all fit.
    """
    arrays = fitting(net, arrays, source)
    for name, parameter in net.collect_params().items():
        assign(parameter, arrays[name])


def fitting(
    net: Any,
    arrays: Mapping[str, np.ndarray],
    source: str,
    *,
    allow_missing: bool = False,
    ignore_extra: bool = False,
) -> dict[str, np.ndarray]:
    """Returns the ``arrays`` that ``net`` has parameters for, in its layout and without padding.

    Raises UserError, which names ``source``, where a shape does not fit, where one is missing unless
    ``allow_missing``, and where one is left over unless ``ignore_extra``.
    """
    parameters = net.collect_params()
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    arrays = cut_padding(all_to_layout(arrays, net.layout), shapes)
    problems = []
    missing = [name for name in parameters if name not in arrays]
    unexpected = [name for name in arrays if name not in parameters]
    if missing and not allow_missing:
        problems.append(f"missing {_some(missing)}")
    if unexpected and not ignore_extra:
        problems.append(f"unexpected {_some(unexpected)}")
    for name, parameter in parameters.items():
        if name in arrays and arrays[name].shape != parameter.shape:
            problems.append(f"{name} is {arrays[name].shape}, the network has {parameter.shape}")
    if problems:
        raise UserError(f"{source}: does not fit {net.model_name}: {'; '.join(problems[:3])}")
    return {name: array for name, array in arrays.items() if name in parameters}


def transfer(net: Any, arrays: Mapping[str, np.ndarray], classes: Sequence[str]) -> TransferReport:
    """Sets what fits from ``arrays``, the parameters of a network of the same model for ``classes``.

    A tensor of the same name and shape is copied whole. Of a prediction layer the rows of the background, of
    the box deltas and of every class that both know by name are copied. The rest keeps its initial values.
    Returns a report of that.
    """
    shared = tuple(name for name in net.classes if name in classes)
    new = tuple(name for name in net.classes if name not in classes)
    report = TransferReport(shared_classes=shared, new_classes=new)
    parameters = net.collect_params()
    arrays = all_to_layout(arrays, net.layout)
    # For the same classes in the same order the prediction layers fit whole, like all others.
    heads = net.head_rows(classes) if tuple(classes) != net.classes else {}
    for name, parameter in parameters.items():
        array = arrays.get(name)
        if array is not None and name in heads:
            ours, theirs, rows = heads[name]
            if array.shape == (rows,) + parameter.shape[1:]:
                # Rows are output channels, the first axis in both layouts.
                value = parameter.data().asnumpy()
                value[ours] = array[theirs]
                assign(parameter, value)
                report.remapped.append(name)
                continue
        elif array is not None and array.shape == parameter.shape:
            assign(parameter, array)
            report.reused.append(name)
            continue
        report.kept_initial.append(name)
    report.unused = [name for name in arrays if name not in parameters]
    return report
