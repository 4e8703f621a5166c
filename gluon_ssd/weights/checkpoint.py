"""Checkpoints: a network with all that is needed to use it, and to go on training where it was."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data.preprocess import Preprocess
from ..errors import UserError
from ..tensor_files.archive import read_archive, write_archive
from ..version import __version__

SUFFIX = ".ckpt"
PARAMETERS, OPTIMIZER, TRAINED = "parameters/", "optimizer/", "trained/"


@dataclass
class Progress:
    """Where a training stands: the next is batch ``batch`` (from 0) of epoch ``epoch`` (from 1).

    ``step``: optimizer steps done. ``evaluated``: how many were done at the last evaluation. ``sums``: the
    epoch's running totals so far, for its row of metrics. ``loss_scale``: fields of a `LossScale`.
    ``processes``: how many trained, each ``batch`` batches of this epoch. ``threshold``: the score threshold
    of the best F1 in the last evaluation, None before one and where nothing was right. ``stale``: evaluations
    since the best one.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    evaluated: int = 0
    best_map: float | None = None
    best_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    loss_scale: dict[str, Any] = field(default_factory=dict)
    processes: int = 1
    threshold: float | None = None
    stale: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: arrays by parameter name, and what they belong to.

    ``trained``: where ``parameters`` are averages over the steps, those that the training goes on from.
    ``category_ids``: those of ``classes`` in the annotation file that was trained on, if it says so.
    """

    path: Path
    model: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    options: dict[str, Any]
    parameters: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    progress: Progress
    recipe: dict[str, Any]
    category_ids: tuple[int, ...] = ()
    trained: dict[str, np.ndarray] = field(default_factory=dict)


def save_checkpoint(
    path: str | Path,
    net: Any,
    trainer: Any = None,
    progress: Progress | None = None,
    recipe: Mapping[str, Any] | None = None,
    averages: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes ``net`` and, where given, the optimizer's state, the position and the recipe, atomically.

    ``averages``: those of its parameters over the steps, which are what the checkpoint is used with.

    Raises UserError when the disk is full or the folder cannot be written, and as `snapshot` does; what was
    at ``path`` stays.
    """
    path = Path(path)
    write_archive(path, *snapshot(path, net, trainer, progress, recipe, averages))


def snapshot(
    path: Path,
    net: Any,
    trainer: Any = None,
    progress: Progress | None = None,
    recipe: Mapping[str, Any] | None = None,
    averages: Mapping[str, np.ndarray] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_checkpoint` would write to ``path`` now: arrays and state, for `write_archive`.

    Raises UserError when a value is not finite, so that a training that has gone wrong does not replace what
    was good.
    """
    import mxnet as mx

    values = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    averages = averages or {}
    arrays = {PARAMETERS + name: averages.get(name, array) for name, array in values.items()}
    arrays.update({TRAINED + name: values[name] for name in averages})
    if trainer is not None:
        arrays.update(_optimizer_arrays(trainer))
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise UserError(
                f"{path}: not written, because {name} is not finite; what was there before is untouched; "
                "try a lower lr or a longer warm-up"
            )
    state = {
        "format": 1,
        "model": net.model_name,
        "classes": list(net.classes),
        "category_ids": [int(number) for number in getattr(net, "category_ids", None) or ()],
        "preprocess": net.preprocess.to_dict(),
        "options": dict(net.options),
        "progress": asdict(progress or Progress()),
        "recipe": dict(recipe or {}),
        "versions": {"gluon_ssd": __version__, "mxnet": mx.__version__, "python": platform.python_version()},
    }
    return arrays, state


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint file. Raises UserError when it is missing, damaged or something else."""
    path = Path(path)
    arrays, state = read_archive(path)
    try:
        if state["format"] != 1:
            raise UserError(f"{path}: written by a newer version; this one reads format 1")
        return Checkpoint(
            path=path,
            model=state["model"],
            classes=tuple(state["classes"]),
            preprocess=Preprocess.from_dict(state["preprocess"]),
            options=dict(state.get("options", {})),
            parameters=_under(arrays, PARAMETERS),
            optimizer=_under(arrays, OPTIMIZER),
            progress=Progress(**state["progress"]),
            recipe=state["recipe"],
            category_ids=tuple(state.get("category_ids", ())),
            trained=_under(arrays, TRAINED),
        )
    except KeyError as error:
        raise UserError(f"{path}: not a checkpoint of this library; it lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: not a checkpoint of this library; {error}") from None


def find_checkpoint(where: str | Path) -> Path:
    """The file that ``where`` means: a checkpoint file, a run folder (its best, else its last), or RUN/best.

    Raises UserError when there is none.
    """
    where = Path(where).expanduser()
    candidates = [where, where.parent / (where.name + SUFFIX)]
    candidates += [where / "checkpoints" / f"{name}{SUFFIX}" for name in ("best", "last")]
    candidates += [where.parent / "checkpoints" / (where.name + SUFFIX)]
    for path in candidates:
        if path.is_file():
            return path
    if where.is_dir():
        raise UserError(f"{where}: no checkpoint in this folder; expected checkpoints/best{SUFFIX}")
    raise UserError(f"{where}: no such checkpoint or run folder")


def restore_optimizer(trainer: Any, checkpoint: Checkpoint) -> None:
    """Gives ``trainer`` the optimizer state of ``checkpoint``. Raises UserError when it does not fit."""
    counts = checkpoint.optimizer.get("update_counts")
    if counts is not None and not len(counts):
        return  # written before the first update
    updater = trainer._updaters[0]
    for index, param in enumerate(trainer._params):
        if param.grad_req == "null":
            continue
        updater.states[index] = trainer.optimizer.create_state_multi_precision(index, param.data())
        updater.states_synced[index] = True
        for key, array in _leaves(param.name, updater.states[index]):
            saved = checkpoint.optimizer.get(key)
            if saved is None or saved.shape != array.shape:
                raise UserError(
                    f"{checkpoint.path}: its optimizer state has no {key} that fits; precision, layout, "
                    "optimizer and what is frozen cannot change; to start anew from it, use --weights with "
                    "another --output"
                )
            array[:] = saved
    if counts is not None:
        trainer.optimizer._index_update_count.update({int(i): int(n) for i, n in counts})
        trainer.optimizer.num_update = int(counts[:, 1].max())


def _optimizer_arrays(trainer: Any) -> dict[str, np.ndarray]:
    arrays = {}
    for index, state in trainer._updaters[0].states.items():
        for key, array in _leaves(trainer._params[index].name, state):
            arrays[OPTIMIZER + key] = array.asnumpy()
    counts = sorted(trainer.optimizer._index_update_count.items())
    arrays[f"{OPTIMIZER}update_counts"] = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return arrays


def _leaves(name: str, state: Any) -> list[tuple[str, Any]]:
    """Arrays of one parameter's optimizer state: nothing, an array, or nested sequences of arrays."""
    if state is None:
        return []
    if not isinstance(state, (list, tuple)):
        return [(name, state)]
    return [leaf for number, part in enumerate(state) for leaf in _leaves(f"{name}.{number}", part)]


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
