"""The log of an MLPerf submission: ``mlperf.log`` in the run folder, written through mlperf-logging.

Keys and their order are those of the published systems' logs, which the compliance checker accepts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import unwritable, writing
from ...recipe import Recipe
from ..callbacks import Callback, RunInfo
from .rules import INSTALL, Rules, rules_for

LOG_FILE = "mlperf.log"
# Which rules the log was written for. Not a key of MLPerf's; its checker passes over such.
RULES_KEY = "ruleset"
DIVISIONS = ("closed", "open")
STATUSES = ("onprem", "cloud", "preview", "research")


class MlperfLog(Callback):
    """Writes the log of one run. A resumed run adds to the log that it finds."""

    def __init__(self, recipe: Recipe) -> None:
        """Raises UserError where the log could not be one of a submission."""
        self._began = _now_ms()
        self.rules = rules_for(recipe.model, recipe.mlperf_rules)
        _check(recipe, self.rules)
        self._submission = submission_fields(self.rules.benchmark)
        closed = self._submission["submission_division"] == "closed"
        if closed and recipe.model != self.rules.facts.model:
            raise UserError(
                f"mlperf_log: the closed division trains {self.rules.facts.model}, not {recipe.model}; "
                "for the open one set MLPERF_SUBMISSION_DIVISION=open"
            )
        self._mllog = _mllog()
        self._file: logging.Handler | None = None
        self._block: int | None = None
        self._epoch: int | None = None
        self._quiet, self._over = True, False

    def started(self, info: RunInfo) -> None:
        self._recipe, path = info.recipe, info.run_dir / LOG_FILE
        if info.resumed and not path.is_file():
            raise UserError(f"{path}: not there to add to; mlperf_log must be on from the start of a run")
        self._open(path, "a" if info.resumed else "w")
        if info.resumed:
            return
        for key, value in self._submission.items():
            self._event(key, value, time_ms=self._began)
        self._event(RULES_KEY, self.rules.version, time_ms=self._began)
        cleared = os.environ.get("MLPERF_CACHE_CLEARED", "") not in ("", "0")
        self._event("cache_clear", cleared, time_ms=self._began)
        self._log("start", "init_start", time_ms=self._began)
        for key, value in settings(info, self.rules).items():
            self._event(key, value)
        for name in info.net.mlperf_tensors():
            self._event("weights_initialization", tensor=name)
        self._log("end", "init_stop")
        self._log("start", "run_start")

    def epoch_started(self, epoch: int) -> None:
        # A block is the epochs up to the next evaluation.
        if self._block is None:
            recipe, self._block = self._recipe, epoch
            due = (later for later in range(epoch, recipe.epochs) if recipe.evaluates_after(later))
            last = next(due, recipe.epochs)
            self._log("start", "block_start", first_epoch_num=epoch, epoch_count=last - epoch + 1)
        self._log("start", "epoch_start", epoch_num=epoch)
        self._epoch = epoch

    def epoch_ended(self, epoch: int, values: Mapping[str, float]) -> None:
        if self._over:
            return
        rate = values["images_per_second"]
        stats = {"throughput": rate, **{key: values[key] for key in ("lr", "loss") if key in values}}
        self._event("tracked_stats", stats, step=epoch)
        self._event("throughput", rate)
        self._end_epoch()

    def evaluation_started(self, epoch: int) -> None:
        self._end_block()
        self._log("start", "eval_start", epoch_num=epoch)

    def evaluated(self, epoch: int, score: float) -> None:
        self._log("end", "eval_stop", epoch_num=epoch)
        self._event("eval_accuracy", score, epoch_num=epoch)
        target = self._recipe.target_map
        if target is not None and score >= target:
            # Now, so that the clock does not count the checkpoints and pictures that come next. Where scores
            # are computed aside, an epoch may have begun meanwhile.
            self._end_epoch()
            self._end_block()
            self._stop("success")

    def ended(self, reached: bool) -> None:
        self._end_block()
        # A run that was over before it was resumed has its end in the log already.
        if not self._over and not self._quiet:
            self._stop("success" if reached else "aborted")

    def close(self) -> None:
        if self._file is not None:
            # What a full disk did not take was told when it was written.
            with contextlib.suppress(OSError):
                self._file.close()

    def _stop(self, status: str) -> None:
        self._log("end", "run_stop", status=status)
        self._over = True

    def _end_epoch(self) -> None:
        if self._epoch is not None:
            self._log("end", "epoch_stop", epoch_num=self._epoch)
            self._epoch = None

    def _end_block(self) -> None:
        if self._block is not None:
            self._log("end", "block_stop", first_epoch_num=self._block)
            self._block = None

    def _open(self, path: Path, mode: str) -> None:
        with writing(path):
            self._file = _File(path, mode, encoding="utf-8")
        # Of its own: the logger of the package is one for the whole process, and prints.
        logger = logging.Logger("gluon_ssd.mlperf", logging.INFO)
        logger.addHandler(self._file)
        self._logger = self._mllog.MLLogger(logger, default_stack_offset=2)

    def _event(self, key: str, value: Any = None, time_ms: int | None = None, **metadata: Any) -> None:
        self._logger.event(key, value, metadata, time_ms=time_ms)
        self._quiet = False

    def _log(self, side: str, key: str, time_ms: int | None = None, **metadata: Any) -> None:
        write = self._logger.start if side == "start" else self._logger.end
        write(key, None, metadata, time_ms=time_ms)
        self._quiet = False


class _File(logging.FileHandler):
    """Ends the run where a full disk does not take a line, as the other files of the run folder do."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise unwritable(self.baseFilename, sys.exc_info()[1]) from None


def submission_fields(benchmark: str) -> dict[str, str]:
    """Returns who submits what, from the environment. Raises UserError for an unknown division or status."""

    def chosen(name: str, known: tuple[str, ...]) -> str:
        value = os.environ.get(name) or known[0]
        if value not in known:
            raise UserError(f"{name} is {value!r}; it must be one of {', '.join(known)}")
        return value

    fields = {
        "submission_benchmark": benchmark,
        "submission_org": os.environ.get("MLPERF_SUBMISSION_ORG") or "unspecified",
        "submission_division": chosen("MLPERF_SUBMISSION_DIVISION", DIVISIONS),
        "submission_status": chosen("MLPERF_SUBMISSION_STATUS", STATUSES),
        "submission_platform": os.environ.get("MLPERF_SUBMISSION_PLATFORM") or platform.platform(),
    }
    for key in ("poc_name", "poc_email"):
        value = os.environ.get(f"MLPERF_SUBMISSION_{key.upper()}")
        if value:
            fields[f"submission_{key}"] = value
    return fields


def settings(info: RunInfo, rules: Rules) -> dict[str, Any]:
    """Returns the hyper-parameters by MLPerf's keys; rates are those after scaling to the global batch."""
    from ...data.transforms import crop_attempts
    from ..build import augmentation

    recipe, schedule = info.recipe, info.schedule
    values: dict[str, Any] = {
        "seed": recipe.seed,
        "train_samples": info.train_images,
        "eval_samples": info.val_images,
        "global_batch_size": recipe.global_batch(info.processes),
        "gradient_accumulation_steps": recipe.accumulate,
        "opt_name": recipe.optimizer,
        "opt_base_learning_rate": schedule.lr,
        "opt_weight_decay": recipe.weight_decay,
    }
    batch = recipe.global_batch(info.processes)
    epochs = recipe.warmup_epochs
    if recipe.warmup_steps is not None:
        epochs = recipe.warmup_steps * batch / info.train_images
    start = rules.facts.warmup_start
    possible = {
        # Tries per option of the random crop; a published run states how many there may be at most.
        "max_samples": crop_attempts(augmentation(recipe)),
        "model_bn_span": recipe.batch_size * info.bn_group,
        "opt_learning_rate_warmup_epochs": epochs,
        "opt_learning_rate_warmup_steps": schedule.warmup_steps,
        "opt_learning_rate_warmup_factor": schedule.warmup_start if start else schedule.warmup_factor,
        "opt_learning_rate_decay_boundary_epochs": list(schedule.decay_epochs),
        "opt_learning_rate_decay_factor": schedule.decay_factor,
    }
    return {**values, **{key: possible[key] for key in rules.facts.keys if possible[key] is not None}}


def _check(recipe: Recipe, rules: Rules) -> None:
    if recipe.target_map is None:
        raise UserError(f"mlperf_log needs the mAP that ends the run: --target-map {rules.target}")
    if not recipe.evaluates:
        raise UserError("mlperf_log needs evaluations, and the recipe has none: --eval-every 1")
    title = rules.facts.title
    if recipe.lr_schedule != "step":
        raise UserError(f"mlperf_log: the rules of {title} know decays alone: --lr-schedule step")
    if not rules.facts.warmup_start and recipe.warmup_start is not None:
        raise UserError(
            f"mlperf_log: the rules of {title} state a warm-up by its factor, not by where it starts: "
            "--warmup-start none, and --warmup-factor"
        )
    if rules.facts.warmup_start and recipe.warmup_start is None:
        raise UserError(
            f"mlperf_log: the rules of {title} state where the warm-up starts: --warmup-start 0.001"
        )


def _mllog() -> Any:
    try:
        from mlperf_logging.mllog import mllog
    except ModuleNotFoundError:
        raise UserError(INSTALL) from None
    return mllog


def _now_ms() -> int:
    return int(time.time() * 1000)


def callbacks_of(recipe: Recipe, rank: int = 0) -> list[Callback]:
    """Returns the callbacks that ``recipe`` asks for: the MLPerf log, which only rank 0 has.

    Call it first of all: a log's time of initialisation begins here. Raises UserError where the recipe or the
    environment does not suit the log.
    """
    if not recipe.mlperf_log or rank:
        return []
    return [MlperfLog(recipe)]
