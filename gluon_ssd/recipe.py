"""Recipes: all that decides a training run, in one frozen record that is also a YAML file and a set of flags.

A key of :class:`Recipe` is a key of the YAML file and, with dashes, a flag of ``gluon-ssd train``. Later
sources win: defaults, recipe file, command line. What does not fit raises a :class:`UserError` that names
source and key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from . import resources
from .data.choices import ORIENTATIONS
from .errors import UserError, nearest, unknown
from .files import as_path, refuse_device
from .values import Bounds, convert, refuse_expansion

DEVICES = ("auto", "cpu", "gpu")
# A key that is given later puts the one that would otherwise decide in its place back to its default.
_REPLACES = (
    ("target_map", "published_target"),
    ("decay_epochs", "lr_schedule"),
    ("warmup_epochs", "warmup_steps"),
    ("warmup_factor", "warmup_start"),
    ("eval_every", "eval_epochs"),
    ("weights", "pretrained_backbone"),
    ("pretrained_backbone", "weights"),
)
# The keys that follow ``epochs`` where they are not given with it.
SCALED = ("decay_epochs", "warmup_epochs", "warmup_steps", "eval_every", "eval_epochs")


def _key(default: Any, group: str, help: str, **rules: Any) -> Any:
    return field(default=default, metadata={"group": group, "help": help, "bounds": Bounds(**rules)})


@dataclass(frozen=True)
class Recipe:
    """One training run with every setting resolved. Paths are strings; a leading ``~`` is the home folder.

    Batch sizes are per process; ``lr`` is per 32 images, see :meth:`effective_lr`. Epochs count from 1: 44 in
    ``decay_epochs`` means "after 44 epochs". A recipe that sets ``epochs`` alone keeps the shape of its
    schedule, see :meth:`override`.
    """

    model: str = _key("ssd_resnet34", "model", "model of the zoo (list: gluon-ssd models)")
    plugin: tuple[str, ...] = _key((), "plugin", "a Python file or module that adds models; repeatable")
    backbone: str | None = _key(None, "model", "another backbone for an SSD: gluoncv:NAME")
    pretrained_backbone: str | None = _key(
        None, "model", "backbone weights to start from: a file, or published"
    )
    weights: str | None = _key(
        None, "model", "start from a checkpoint, file or published weights; classes may differ"
    )
    precision: str = _key(
        "fp32", "precision", "fp16: half parameters; amp: bfloat16 on CPU", choices=("fp32", "amp", "fp16")
    )
    bn_fp16: bool = _key(False, "precision", "with fp16: half scales and shifts of norms, too")
    layout: str = _key("NCHW", "precision", "NHWC is for tensor cores", choices=("NCHW", "NHWC"))
    loss_scale: float = _key(128.0, "precision", "what float16 gradients are scaled by", above=0)
    dynamic_loss_scale: bool = _key(
        False, "precision", "halve the scale on overflow, double it after 2,000 steps without"
    )
    freeze: tuple[int, ...] = _key((), "model", "stages of the backbone not to train; 0 is the stem", low=0)
    input_size: tuple[int, ...] | None = _key(None, "model", "RetinaNet: height and width", low=32)
    trainable_layers: int | None = _key(None, "model", "RetinaNet: stages that train", low=0, high=5)
    device: str = _key("auto", "model", "where it trains; auto: a GPU if MXNet sees one", choices=DEVICES)

    data: str | None = _key(None, "data", "data set: a folder of any known format, or its YAML or JSON file")
    train_annotation: str | None = _key(None, "data", "training annotations, if not where COCO has them")
    train_images: str | None = _key(None, "data", "training images, if not where COCO has them")
    val_annotation: str | None = _key(None, "data", "validation annotations, if not where COCO has them")
    val_images: str | None = _key(None, "data", "validation images, if not where COCO has them")
    only: tuple[str, ...] | None = _key(None, "data", "learn these classes alone, in this order")
    orientation: str = _key(
        "auto",
        "data",
        "what boxes of pictures that EXIF turns are for, where their size does not tell; auto: upright",
        choices=ORIENTATIONS,
    )
    limit_train: int | None = _key(None, "data", "use only the first N training images", low=1)
    limit_val: int | None = _key(None, "data", "use only the first N validation images", low=1)
    augment: str | None = _key(
        None, "input", "augmentation in training, if not the model's own", choices=("ssd", "flip", "none")
    )
    colour: str = _key(
        "reference", "input", "dali: hue by 0.5 degrees, contrast about 128", choices=("reference", "dali")
    )
    data_pipeline: str = _key(
        "native",
        "input",
        "native: threads; synthetic: random images, to measure speed",
        choices=("native", "dali", "synthetic"),
    )
    workers: int = _key(2, "input", "loader threads", low=1)
    on_bad_image: str = _key(
        "fail", "data", "what to do about an image that cannot be read", choices=("fail", "skip")
    )
    max_bad_share: float = _key(0.01, "data", "share of images that may be skipped", low=0, high=1)
    dali_workers: int | None = _key(None, "input", "DALI's threads, if not as many as workers", low=1)
    input_batch_multiplier: int = _key(1, "input", "batches that DALI makes at once", low=1)
    input_jpg_decode: str = _key(
        "auto", "input", "where DALI decodes", choices=("auto", "cpu", "gpu", "cache", "hw")
    )
    dali_cache_mb: int | None = _key(None, "input", "decoder cache (default: as published)", low=1)
    hw_decoder_load: float = _key(0.65, "input", "with hw: the hardware decoder's share", low=0, high=1)

    epochs: int = _key(
        65, "schedule", "epochs to train; decays, warm-up and evaluations that are not given follow", low=1
    )
    start_epoch: int = _key(1, "schedule", "first epoch of a run that goes on from --weights", low=1)
    max_steps: int | None = _key(None, "schedule", "stop after N optimizer steps, whatever the epoch", low=1)
    batch_size: int = _key(32, "schedule", "images per process and step", low=1)
    accumulate: int = _key(1, "schedule", "batches whose gradients make one optimizer step", low=1)
    optimizer: str = _key("sgd", "rate", "what makes the updates", choices=("sgd", "adam"))
    lr: float = _key(0.0025, "rate", "learning rate; for sgd per 32 images of the global batch", above=0)
    backbone_lr_factor: float = _key(
        1.0, "rate", "what lr is multiplied by for the backbone; small: it keeps more", above=0, high=1
    )
    momentum: float = _key(0.9, "rate", "SGD momentum", low=0, below=1)
    weight_decay: float = _key(5e-4, "rate", "weight decay", low=0)
    decay_on: str = _key("all", "rate", "weights: not biases and norms", choices=("all", "weights"))
    lr_schedule: str = _key(
        "step",
        "rate",
        "step: lr decays after decay_epochs; cosine: it goes down to 0 over all epochs",
        choices=("step", "cosine"),
    )
    decay_epochs: tuple[int, ...] = _key((44, 55), "rate", "epochs after which lr decays", low=1)
    decay_factor: float = _key(0.1, "rate", "what lr is multiplied by at a decay", above=0, high=1)
    warmup_epochs: float = _key(0.65, "rate", "length of the linear warm-up in epochs", low=0)
    warmup_steps: int | None = _key(None, "rate", "or in optimizer steps", low=0)
    warmup_factor: float = _key(0.0, "rate", "warm-up starts at lr * (1 - 2**-F)", low=0)
    warmup_start: float | None = _key(None, "rate", "or at this share of lr", low=0, high=1)
    ema: float | None = _key(
        None,
        "rate",
        "decay of a moving average of the weights, which is then evaluated, saved and used by predict",
        above=0,
        below=1,
    )
    seed: int = _key(0, "schedule", "seed of weights, order and augmentation", low=0, high=2**31 - 1)

    eval_every: int = _key(5, "evaluation", "evaluate every N epochs and at the end; 0: never", low=0)
    eval_epochs: tuple[int, ...] | None = _key(
        None, "evaluation", "evaluate after just these epochs instead", low=1
    )
    eval_batch_size: int = _key(32, "evaluation", "images per evaluation batch", low=1)
    patience: int | None = _key(
        None, "evaluation", "stop after N evaluations in a row without a better mAP", low=1
    )
    target_map: float | None = _key(None, "evaluation", "stop once mAP reaches this", low=0, high=1)
    published_target: bool = _key(
        False, "evaluation", "target_map ends a training on the data set that it was published for alone"
    )
    score_threshold: float = _key(0.05, "detections", "drop detections below this", low=0, below=1)
    iou_threshold: float = _key(0.5, "detections", "IoU above which NMS drops a box", above=0, high=1)
    max_detections: int = _key(200, "detections", "detections kept per image", low=1)
    nms_candidates: int | None = _key(
        None, "detections", "best pairs of box and class that NMS sees, if not the model's own number", low=1
    )

    async_val: bool = _key(False, "evaluation", "compute scores in another process while training goes on")

    eval_ranks: int | None = _key(
        None, "processes", "processes that evaluate (default: all); the result is the same", low=1
    )
    bn_group: int = _key(1, "processes", "processes that share the statistics of batch norm", low=1)
    compression: str = _key(
        "none", "processes", "of gradients on their way between processes", choices=("none", "fp16")
    )
    gradient_predivide: float = _key(1.0, "processes", "divide gradients by this before their sum", above=0)
    num_groups: int = _key(0, "processes", "send gradients in N bundles; 0: as they come", low=0)
    fusion_mb: int | None = _key(None, "processes", "Horovod's fusion buffer in MiB", low=0)

    output: str | None = _key(None, "run", "run folder (default: the next runs/<model>-<N>)")
    resume: bool = _key(False, "run", "go on from the last checkpoint of the run folder")
    save_every: int = _key(0, "run", "keep a checkpoint epoch_NNN every N epochs; 0: only best, last", low=0)
    checkpoint_steps: int | None = _key(None, "run", "also write the last checkpoint every N steps", low=1)
    model_warmup: int = _key(
        0, "run", "steps on made-up images before the run, of which nothing stays", low=0
    )
    log_every: int = _key(10, "run", "steps between progress lines", low=1)
    profile: tuple[int, ...] | None = _key(
        None, "run", "first and last step to trace into profile.json, for chrome://tracing", low=1
    )
    json_summary: str | None = _key(
        None, "run", "also write losses, times and scores into this file, as DLLogger does"
    )
    tensorboard: bool = _key(False, "run", "write tensorboard/ in the run folder, for tensorboard --logdir")
    mlperf_log: bool = _key(False, "mlperf", "write mlperf.log, the log of an MLPerf submission")
    mlperf_rules: str | None = _key(
        None, "mlperf", "with mlperf_log: version of the rules, if not the latest"
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            # A recipe that is built in Python is checked like one from a file. Setting the converted value
            # needs this detour because the class is frozen.
            value = convert(getattr(self, item.name), str(item.type), item.metadata["bounds"])
            if isinstance(value, UserError):
                raise UserError(f"recipe key {item.name!r}: {value}")
            object.__setattr__(self, item.name, value)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "recipe") -> Recipe:
        """Builds a recipe from plain values.

        ``source`` is what an error calls the place where they came from.
        """
        # Decays and warm-up make sense only as shares of a run; evaluating every so many epochs does anyway.
        return cls().override({"eval_every": cls.eval_every, **values}, source)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Recipe:
        """Reads a YAML file of recipe keys.

        Raises :class:`UserError` naming the file, the key and the remedy.
        """
        return cls.from_dict(_read_yaml(Path(path)), str(path))

    def override(
        self, values: Mapping[str, Any], source: str = "command line", scale: bool = True
    ) -> Recipe:
        """Returns a copy with ``values`` replaced. Raises UserError for unknown keys, wrong types and ranges.

        ``source`` is what the error calls the place where the values came from. Where ``epochs`` changes and
        ``scale`` is set, the decays, the warm-up and the evaluations that ``values`` does not give move with
        it, so that they stay at the same share of the run.
        """
        types = {item.name: item for item in fields(self)}
        checked = {}
        for key, value in values.items():
            if key not in types:
                raise UserError(f"{source}: {_unknown_key(str(key))}")
            item = types[key]
            result = convert(value, str(item.type), item.metadata["bounds"])
            if isinstance(result, UserError):
                raise UserError(f"{source}: key {key!r}: {result}")
            checked[key] = result
        given = [new for new, _ in _REPLACES if checked.get(new) is not None]
        replaced: dict[str, Any] = {
            old: types[old].default for new, old in _REPLACES if new in given and old not in checked
        }
        base = replace(self, **replaced)
        scaled = base._scaled(checked["epochs"]) if scale and "epochs" in checked else {}
        return replace(base, **{**scaled, **checked})

    def _scaled(self, epochs: int) -> dict[str, Any]:
        """Returns the keys of `SCALED` as a run of so many ``epochs`` has them."""
        share = epochs / self.epochs
        if share == 1:
            return {}
        decays = {round(epoch * share) for epoch in self.decay_epochs}
        values: dict[str, Any] = {
            "decay_epochs": tuple(sorted(epoch for epoch in decays if 0 < epoch < epochs)),
            "warmup_epochs": round(self.warmup_epochs * share, 4),
            "eval_every": max(1, round(self.eval_every * share)) if self.eval_every else 0,
        }
        if self.warmup_steps:
            values["warmup_steps"] = max(1, round(self.warmup_steps * share))
        if self.eval_epochs is not None:
            evaluations = {max(1, round(epoch * share)) for epoch in self.eval_epochs}
            values["eval_epochs"] = tuple(sorted(evaluations))
        return values

    def require_data(self, example: str) -> None:
        """Raises UserError, which shows the ``example``, where no data set is named or made up."""
        if self.data is None and self.train_annotation is None and self.data_pipeline != "synthetic":
            raise UserError(f"no data set; give its folder: {example}")

    def to_dict(self) -> dict[str, Any]:
        """Returns every key with a plain value (tuples as lists), in the order of the class."""
        items = asdict(self).items()
        return {key: list(value) if isinstance(value, tuple) else value for key, value in items}

    def to_yaml(self) -> str:
        """Returns the whole recipe as YAML, which :meth:`from_yaml` reads back to an equal recipe."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None, width=110)

    def global_batch(self, processes: int = 1) -> int:
        """Returns the number of images that make one optimizer step over all processes."""
        return self.batch_size * self.accumulate * processes

    def effective_lr(self, processes: int = 1) -> float:
        """Returns the learning rate after warm-up, before decay: for SGD ``lr`` times global batch / 32."""
        if self.optimizer == "adam":
            return self.lr
        # With a larger batch SGD makes fewer steps in an epoch, so each of them has to go further (the linear
        # scaling rule). The rate of Adam is taken as it is.
        return self.lr * self.global_batch(processes) / 32

    @property
    def evaluates(self) -> bool:
        """Whether any epoch ends with an evaluation."""
        return any(self.evaluates_after(epoch) for epoch in range(1, self.epochs + 1))

    def evaluates_after(self, epoch: int) -> bool:
        """Returns whether epoch ``epoch`` (from 1) ends with an evaluation.

        The last epoch does, unless none does.
        """
        if self.eval_epochs is not None:
            return epoch in self.eval_epochs
        return self.eval_every > 0 and (epoch % self.eval_every == 0 or epoch == self.epochs)


def load_recipe(name_or_path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Loads a recipe by its name in the zoo (``ssd_resnet34/mlperf``) or by the path of a YAML file.

    ``overrides`` win over the file. The target mAP of a recipe of the zoo is a published one. Raises
    :class:`UserError` for an unknown name (with the nearest ones), a missing or malformed file, and keys or
    values that do not fit.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        recipe = Recipe.from_yaml(as_path(text))
    else:
        if text not in resources.recipe_names():
            raise unknown("recipe", text, resources.recipe_names())
        recipe = Recipe.from_yaml(resources.recipe_path(text))
        recipe = replace(recipe, published_target=recipe.target_map is not None)
    return recipe.override(overrides or {})


def _unknown_key(key: str) -> str:
    names = [item.name for item in fields(Recipe)]
    close = nearest(key.replace("-", "_"), names)
    advice = f"did you mean {', '.join(close)}?" if close else f"known keys: {', '.join(names)}"
    return f"unknown key {key!r}; {advice}"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        refuse_device(path)
        text = path.read_text(encoding="utf-8")
        values = refuse_expansion(yaml.safe_load(text), text)
    except FileNotFoundError:
        raise UserError(f"{path}: no such recipe file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot read the recipe: {getattr(error, 'strerror', None) or error}"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise UserError(
            f"{path}: not valid YAML{where}: {getattr(error, 'problem', None) or error}"
        ) from None
    except (ValueError, RecursionError) as error:
        # Such as the date 2026-99-99, a number of thousands of digits, or thousands of brackets.
        raise UserError(f"{path}: holds a value that YAML cannot read: {error}") from None
    # YAML reads an empty file as null; such a recipe is one of defaults.
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a list of 'key: value' lines, found a {type(values).__name__}")
    return values
