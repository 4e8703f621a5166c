"""The registry of models: one row per model, and the function that builds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Number
from typing import Any, Callable

import numpy as np

from ..errors import UserError, unknown


@dataclass(frozen=True)
class MlperfBenchmark:
    """What the rules of MLPerf Training say about a family of detectors, for ``training.mlperf``.

    ``title`` is the name in messages. ``model`` is the model that the closed division trains, and ``target``
    the mAP that ends a run. ``versions`` are those of the rules, oldest first, each with its name of the
    benchmark; ``tensors_until`` is the last version whose logs list the tensors. ``keys`` are the
    hyper-parameters that a log states in addition to those of every benchmark. With ``warmup_start`` a log
    states the share of the learning rate at which a warm-up starts, and otherwise the warm-up's factor.
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

    ``input_size`` is (height, width) in pixels. ``kind`` is ``detector`` or ``backbone``. ``options`` are the
    keywords that `get_model` takes for this model. ``weights`` and ``backbone_weights`` are names in the
    table of published weights, for the whole network and for the start of its backbone; empty where nothing
    is published. ``recipe`` is the model's own recipe, and ``default_augment`` the augmentation of a recipe
    that names none. ``mlperf`` is the benchmark of the family, or None. ``anchors`` is what
    `DetectionNetwork.anchors` will be, where it is known without building the network.
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


# By what stands before the colon of a name: models that are not listed.
_FINDERS: dict[str, Callable[[str], tuple[ModelRow, Builder]]] = {}


def register_finder(prefix: str, finder: Callable[[str], tuple[ModelRow, Builder]]) -> None:
    """Has ``finder`` give row and builder of every ``prefix:...``; it raises UserError for unknown names."""
    _FINDERS[prefix] = finder


def register_model(row: ModelRow) -> Callable[[Builder], Builder]:
    """Returns a decorator that puts a builder into the zoo, where it is called as builder(row, classes).

    The options of the row are keywords of the builder. Raises ValueError when the name is taken.
    """

    def register(builder: Builder) -> Builder:
        if row.name in _MODELS:
            raise ValueError(f"a model called {row.name!r} is registered already")
        _MODELS[row.name] = (row, builder)
        return builder

    return register


def list_models(kind: str | None = None) -> list[str]:
    """Returns the names that `get_model` takes, sorted.

    ``kind`` is ``detector`` or ``backbone`` for the names of that kind only. Raises UserError for another.
    """
    if kind not in (None, "detector", "backbone"):
        raise unknown("kind of model", kind, ("detector", "backbone"))
    return sorted(name for name, (row, _) in _MODELS.items() if kind in (None, row.kind))


def is_model(name: str) -> bool:
    """Returns whether the zoo has such a model, or a finder for names of this kind."""
    return name in _MODELS or name.split(":")[0] in _FINDERS


def model_row(name: str) -> ModelRow:
    """Returns the row of a model. Raises UserError, which names similar models, when there is none."""
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

    `gluon_ssd.get_model` does the same and can also load trained weights.

    ``classes`` are the class names without background; None stands for the model's own (80 COCO names for
    SSD). ``layout`` is that of images and weights, NCHW or NHWC. ``dtype`` is the type of parameters and
    maps, float32 or float16; outputs and norms stay float32, but with ``bn_fp16`` the gamma and beta of norms
    are float16. ``ctx`` is an MXNet context or a list of them; None stands for the CPU. ``bn_group`` holds
    the ranks that share the statistics of norms, see `nn.GroupBatchNorm`. ``options`` are those of the
    model's row: ``backbone`` (``gluoncv:NAME``) of an SSD; ``trainable_layers``, ``norm_epsilon`` and
    ``input_size`` (height, width) of a RetinaNet.

    The weights are random. ``mxnet.random.seed`` makes them repeatable, and layout and dtype do not change
    them. Raises UserError for an unknown name, an option that the model does not have, class names that
    cannot be used, and a GPU that MXNet does not see.
    """
    row, builder = _find(name)
    # A checkpoint keeps the options as JSON, which does not know NumPy's numbers.
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
    # Here and not above, so that the names and rows of the models can be read without MXNet.
    from ..nn import LayerConfig, using

    config = LayerConfig(layout, dtype, _device(ctx), bn_fp16, bn_group)
    with using(config):
        net = builder(row, names, **options)
    # Initialised in float32 and cast afterwards, so that a seed gives the same weights for every dtype.
    net.initialize(ctx=ctx)
    if dtype == "float16":
        net.cast(dtype)
    # Only what differs from the default is an option of the network, and stored in its checkpoints.
    chosen = {"layout": layout, "dtype": dtype, "bn_fp16": bn_fp16}
    changed = {key: value for key, value in chosen.items() if value not in ("NCHW", "float32", False)}
    net.options = {**net.options, **options, **changed}
    return net


def _device(ctx: Any) -> str:
    """Returns ``cpu`` or ``gpu``. Raises UserError for anything but contexts of devices that are there."""
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
    """Returns the class names as a tuple. Raises UserError where they cannot name a detector's classes."""
    if isinstance(classes, str):
        raise UserError(f"classes is one string, {classes!r}; give a list of names, such as [{classes!r}]")
    if isinstance(classes, Number):
        raise UserError(f"classes is a number, {classes}; give the list of class names, without background")
    # A set has no order, and the order numbers the classes.
    if isinstance(classes, (set, frozenset)) or not isinstance(classes, Iterable):
        kind = type(classes).__name__
        raise UserError(f"classes is of type {kind}; give a list of names, whose order numbers them")
    names = tuple(classes)
    if not names:
        raise UserError("classes is empty; a detector needs the name of at least one class")
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong:
        raise UserError(f"class names must be text; {wrong[0]!r} is not")
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise UserError(f"class name {twice[0]!r} stands twice in classes")
    return names


def _find(name: str) -> tuple[ModelRow, Builder]:
    prefix = name.split(":")[0] if isinstance(name, str) else ""
    if prefix in _FINDERS:
        return _FINDERS[prefix](name)
    if not isinstance(name, str) or name not in _MODELS:
        raise unknown("model", name, list_models())
    return _MODELS[name]


def model_outline(name: str, classes: Sequence[str] | None = None, **options: Any) -> Any:
    """Returns the network of a model without values, which is fast and enough for names and shapes.

    ``classes`` are the class names; None stands for the model's own. Raises UserError as `get_model` does for
    an unknown name and for class names that cannot be used.
    """
    row, builder = _find(name)
    return builder(row, row.default_classes if classes is None else check_classes(classes), **options)
