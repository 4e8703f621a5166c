"""The zoo: one row per model, and the functions that build them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Number
from typing import Any, Callable

import numpy as np

from ..errors import UserError, unknown


@dataclass(frozen=True)
class MlperfBenchmark:
    """What MLPerf Training's rules say of a family of detectors, for ``training.mlperf``.

    ``title``: what messages call it. ``model``: what the closed division trains; ``target``: the mAP that
    ends a run. ``versions``: of the rules, oldest first, each with its name of the benchmark;
    ``tensors_until``: the last of them whose logs list the tensors. ``keys``: hyper-parameters that a log
    states besides those of every benchmark. ``warmup_start``: a warm-up is stated by the share of the rate
    that it starts from, not by its factor.
    """

    title: str
    model: str
    target: float
    versions: Mapping[str, str]
    tensors_until: str
    keys: tuple[str, ...]
    warmup_start: bool


@dataclass(frozen=True)
class ModelRow:
    """What is known of a model without building it.

    ``kind`` is ``detector`` or ``backbone``; ``options`` are keywords of its own for `get_model`. ``weights``
    and ``backbone_weights``: names in the weight table of what is published of the whole network, and of what
    its backbone starts from; empty where there is nothing. ``default_augment``: the augmentation of a recipe
    that names none. ``mlperf``: the benchmark that it is for, None where there is none. ``anchors``:
    those of `DetectionNetwork.anchors`, where they are known without building the network.
    """

    name: str
    family: str
    backbone: str
    input_size: tuple[int, int]
    default_classes: tuple[str, ...]
    summary: str
    source: str
    recipe: str = ""
    options: tuple[str, ...] = ()
    kind: str = "detector"
    weights: str = ""
    backbone_weights: str = ""
    default_augment: str = "flip"
    mlperf: MlperfBenchmark | None = field(default=None, repr=False)
    anchors: Callable[[int, int], np.ndarray] | None = field(default=None, repr=False)


LAYOUTS, DTYPES = ("NCHW", "NHWC"), ("float32", "float16")
Builder = Callable[..., Any]
_MODELS: dict[str, tuple[ModelRow, Builder]] = {}


def register_model(row: ModelRow) -> Callable[[Builder], Builder]:
    """Decorator that puts a builder into the zoo. Raises ValueError when the name is taken."""

    def register(builder: Builder) -> Builder:
        if row.name in _MODELS:
            raise ValueError(f"a model called {row.name!r} is registered already")
        _MODELS[row.name] = (row, builder)
        return builder

    return register


def list_models(kind: str | None = None) -> list[str]:
    """Names that `get_model` accepts, sorted. ``kind``: only those that are ``detector`` or ``backbone``."""
    if kind not in (None, "detector", "backbone"):
        raise unknown("kind of model", str(kind), ("detector", "backbone"))
    return sorted(name for name, (row, _) in _MODELS.items() if kind in (None, row.kind))


def model_row(name: str) -> ModelRow:
    """The row of a model. Raises UserError, naming the nearest models, when there is none."""
    return _find(name)[0]


def get_model(
    name: str,
    classes: Sequence[str] | None = None,
    layout: str = "NCHW",
    dtype: str = "float32",
    ctx: Any = None,
    *,
    bn_group: Any = None,
    bn_fp16: bool = False,
    **options: Any,
) -> Any:
    """Builds and initialises a detection network, or a backbone as a classifier.

    `gluon_ssd.get_model` does the same and also brings trained weights.

    ``classes``: class names without background; None is the model's own list (80 COCO names for SSD).
    ``layout``: NCHW or NHWC, of images and weights. ``dtype``: float32 or float16, of parameters and maps;
    norms (unless ``bn_fp16``) and outputs stay float32. ``ctx``: an MXNet context or a list of them; None is
    the CPU. ``bn_group``: the ranks that share norm statistics, see `nn.GroupBatchNorm`. ``options``: those
    of the model's row: ``backbone`` (``gluoncv:NAME``) of an SSD, ``trainable_layers``, ``norm_epsilon`` and
    ``input_size`` (height, width) of a RetinaNet. Weights are random: fix them with ``mxnet.random.seed``;
    layout and dtype do not change them. Raises UserError for an unknown name, an option the model does not
    have, an unusable class list or a GPU that MXNet does not see.
    """
    row, builder = _find(name)
    # A checkpoint keeps them as JSON, which knows no numbers of NumPy's.
    options = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in options.items()}
    for option in options:
        if option in ("pretrained", "pretrained_base"):
            raise UserError(f"{option}: this get_model only builds; gluon_ssd.get_model brings weights")
        if option not in row.options:
            raise unknown(f"option of {name}", option, row.options)
    for kind, value, known in (("layout", layout, LAYOUTS), ("dtype", dtype, DTYPES)):
        if value not in known:
            raise unknown(kind, str(value), known)
    if not isinstance(bn_fp16, bool):
        raise UserError(f"bn_fp16 is {bn_fp16!r}; give True or False")
    if bn_fp16 and dtype != "float16":
        raise UserError("bn_fp16 is for networks of dtype float16 (--precision fp16); leave it out")
    if bn_group is not None and not hasattr(bn_group, "allreduce"):
        raise UserError(f"bn_group is {bn_group!r}; give the ranks of a group (nn.RankGroup), or None")
    names = row.default_classes if classes is None else check_classes(classes)
    from ..nn import LayerConfig, using

    config = LayerConfig(layout, dtype, _device(ctx), bn_fp16, bn_group)
    with using(config):
        net = builder(row, names, **options)
    net.initialize(ctx=ctx)
    if dtype == "float16":
        net.cast(dtype)
    chosen = {"layout": layout, "dtype": dtype, "bn_fp16": bn_fp16}
    changed = {key: value for key, value in chosen.items() if value not in ("NCHW", "float32", False)}
    net.options = {**net.options, **options, **changed}
    return net


def _device(ctx: Any) -> str:
    """``cpu`` or ``gpu``. Raises UserError for what is no context, or one of a GPU that is not there."""
    contexts = ctx if isinstance(ctx, (list, tuple)) else [ctx]
    if not contexts or any(one is not None and not hasattr(one, "device_type") for one in contexts):
        raise UserError(f"ctx is {ctx!r}; give an MXNet context, such as mxnet.gpu(0), or a list of them")
    gpus = [one for one in contexts if one is not None and one.device_type == "gpu"]
    if not gpus:
        return "cpu"
    from mxnet.context import num_gpus

    count = num_gpus()
    missing = [one for one in gpus if one.device_id >= count]
    if missing:
        seen = f"GPUs 0 to {count - 1}" if count else "no GPU"
        raise UserError(f"ctx is {missing[0]}, and MXNet sees {seen} here; see gluon-ssd doctor")
    return "gpu"


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names as a tuple. Raises UserError where they cannot name a detector's classes."""
    if isinstance(classes, str):
        raise UserError(f"classes is one string, {classes!r}; give a list of names, such as [{classes!r}]")
    if isinstance(classes, Number):
        raise UserError(f"classes is a number, {classes}; give the list of class names, without background")
    if isinstance(classes, (set, frozenset)) or not isinstance(classes, Iterable):
        kind = type(classes).__name__
        raise UserError(f"classes is of type {kind}; give a list of names, whose order numbers them")
    names = tuple(classes)
    if not names:
        raise UserError("classes is empty; a detector needs the name of at least one class")
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong:
        raise UserError(f"class names must be text; {wrong[0]!r} is not")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"class name {twice[0]!r} stands twice in classes")
    return names


def _find(name: str) -> tuple[ModelRow, Builder]:
    if isinstance(name, str) and name.startswith("gluoncv:"):
        from .gluoncv_ssd_models import gluoncv_model

        return gluoncv_model(name)
    if not isinstance(name, str) or name not in _MODELS:
        raise unknown("model", str(name), list_models())
    return _MODELS[name]


def model_outline(name: str, classes: Sequence[str] | None = None, **options: Any) -> Any:
    """The network of a model without values: for names and shapes, and fast. ``classes``: None is its own."""
    row, builder = _find(name)
    return builder(row, row.default_classes if classes is None else check_classes(classes), **options)
