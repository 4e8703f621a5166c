"""Checkpoints: a network with all that is needed to use it, and to continue its training."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.preprocess import Preprocess
from ..errors import UserError
from ..files import as_path, similar
from ..tensor_files.archive import read_archive, write_archive
from ..version import __version__

SUFFIX = ".ckpt"
PARAMETERS, OPTIMIZER, TRAINED, RANKS = "parameters/", "optimizer/", "trained/", "ranks/"


@dataclass
class Progress:
    """The position of a training, whose next batch is ``batch`` (from 0) of epoch ``epoch`` (from 1).

    ``step`` is the number of optimizer steps done, and ``evaluated`` how many were done at the last
    evaluation. ``best_map`` is the best mAP so far, from 0 to 1, and ``best_epoch`` its epoch. ``sums`` are
    the running totals of the epoch so far, for its row of metrics. ``loss_scale`` holds the fields of a
    `LossScale`. ``processes`` is how many processes trained, each ``batch`` batches of this epoch.
    ``threshold`` is the score threshold of the best F1 in the last evaluation, None before one and where
    nothing was right. ``stale`` is the number of evaluations since the best one.
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
    """The content of a checkpoint file: arrays by parameter name, and what they belong to.

    ``options`` are those with which `get_model` builds the network again. ``category_ids`` are the ids of
    ``classes`` in the annotations that were trained on, and empty where these have none. Where ``parameters``
    are averages over the steps of a training, ``trained`` are those that it goes on from. ``ranks``: what
    every rank but the first has otherwise, by its number, group and name.
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
    ranks: dict[str, np.ndarray] = field(default_factory=dict)

    def of_rank(self, rank: int) -> Checkpoint:
        """Returns the checkpoint with what ``rank`` has otherwise than the first."""
        own = _under(self.ranks, f"{rank}/")
        parameters = {**self.parameters, **_under(own, PARAMETERS)}
        return replace(self, parameters=parameters, trained={**self.trained, **_under(own, TRAINED)})


def save_checkpoint(
    path: str | Path,
    net: Any,
    trainer: Any = None,
    progress: Progress | None = None,
    recipe: Mapping[str, Any] | None = None,
    averages: Mapping[str, np.ndarray] | None = None,
    ranks: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes ``net`` and, where given, the state of the optimizer, the position and the recipe.

    ``averages`` are those of its parameters over the steps, and what the checkpoint is then used with.
    ``ranks``: as in `Checkpoint`.
    The file appears whole or not at all. Raises UserError when the disk is full or the folder cannot be
    written, and as `snapshot` does; what was at ``path`` then stays.
    """
    path = Path(path)
    write_archive(path, *snapshot(path, net, trainer, progress, recipe, averages, ranks))


def snapshot(
    path: Path,
    net: Any,
    trainer: Any = None,
    progress: Progress | None = None,
    recipe: Mapping[str, Any] | None = None,
    averages: Mapping[str, np.ndarray] | None = None,
    ranks: Mapping[str, np.ndarray] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the arrays and the state that `save_checkpoint` writes to ``path``, for `write_archive`.

    Raises UserError when a value is not finite, so that a training that has diverged does not replace a good
    checkpoint.
    """
    import mxnet as mx

    values = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    averages = averages or {}
    arrays = {PARAMETERS + name: averages.get(name, array) for name, array in values.items()}
    arrays.update({TRAINED + name: values[name] for name in averages})
    arrays.update({RANKS + name: array for name, array in (ranks or {}).items()})
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
    """Returns the content of a checkpoint file.

    Raises UserError when the file is missing, damaged or something else.
    """
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
            ranks=_under(arrays, RANKS),
        )
    except KeyError as error:
        raise UserError(f"{path}: not a checkpoint of this library; it lacks {error}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: not a checkpoint of this library; {error}") from None


def find_checkpoint(where: str | Path) -> Path:
    """Returns the checkpoint file that ``where`` means.

    That is a checkpoint file, with or without its suffix, a run folder (its best checkpoint, or else its
    last), or ``RUN/best`` and ``RUN/last``. Raises UserError when there is no such file.
    """
    where = as_path(where)
    if where.is_dir():
        # A file RUN.ckpt beside the folder RUN is not what was named.
        candidates = [where / "checkpoints" / f"{name}{SUFFIX}" for name in ("best", "last")]
    else:
        name = where.name + SUFFIX
        candidates = [where, where.parent / name, where.parent / "checkpoints" / name]
    for path in candidates:
        if path.is_file():
            return path
    if where.is_dir():
        raise UserError(f"{where}: no checkpoint in this folder; expected checkpoints/best{SUFFIX}")
    raise UserError(f"{where}: no such checkpoint or run folder{similar(where)}")


def restore_optimizer(trainer: Any, checkpoint: Checkpoint) -> None:
    """Gives ``trainer`` the optimizer's state in ``checkpoint``. Raises UserError when it does not fit."""
    counts = checkpoint.optimizer.get("update_counts")
    if counts is not None and not len(counts):
        return  # it was written before the first update
    updater = trainer._updaters[0]
    for index, param in enumerate(trainer._params):
        if param.grad_req == "null":
            continue
        # The optimizer would make its state at the first update; made here, its arrays can be filled.
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
    # Adam's bias correction depends on how often each parameter was updated.
    if counts is not None:
        trainer.optimizer._index_update_count.update({int(i): int(n) for i, n in counts})
        trainer.optimizer.num_update = int(counts[:, 1].max())


def _optimizer_arrays(trainer: Any) -> dict[str, np.ndarray]:
    """Returns the state of the optimizer by parameter name, and how often it has updated each parameter."""
    arrays = {}
    for index, state in trainer._updaters[0].states.items():
        for key, array in _leaves(trainer._params[index].name, state):
            arrays[OPTIMIZER + key] = array.asnumpy()
    counts = sorted(trainer.optimizer._index_update_count.items())
    arrays[f"{OPTIMIZER}update_counts"] = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return arrays


def _leaves(name: str, state: Any) -> list[tuple[str, Any]]:
    """Returns the arrays of one parameter's optimizer state, which is nothing, an array or nested sequences.

    Those of a sequence are named by their place in it.
    """
    if state is None:
        return []
    if not isinstance(state, (list, tuple)):
        return [(name, state)]
    return [leaf for number, part in enumerate(state) for leaf in _leaves(f"{name}.{number}", part)]


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
