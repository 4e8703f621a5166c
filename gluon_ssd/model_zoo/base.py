"""The base classes of the networks, and the contract of a family of detectors.

A family is one file: a subclass of `DetectionNetwork`, a function that builds it, and a `ModelRow` per model
that `register_model` puts into the zoo. Nothing else in the library asks to which family a network belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from mxnet import nd
from mxnet.gluon import Block, HybridBlock

from ..data.preprocess import Preprocess
from ..errors import UserError
from ..nn import FrozenBatchNorm, current
from ..tensor_files.names import by_parameter_name
from ..tensor_files.params_file import read_params
from .reference_names import Entry
from .registry import model_outline, model_row
from .transfer import fitting

# By name of each parameter whose rows belong to classes: the rows of ours that can be filled, the rows of the
# source that they come from, and how many rows the source has.
HeadRows = dict[str, tuple[np.ndarray, np.ndarray, int]]


class Backbone(HybridBlock):
    """A network that turns (B, 3, H, W) images into a list of feature maps, from fine to coarse.

    ``feature_info`` is (channels, stride) of each map. ``parts`` are the blocks from the input to the last
    map, in the order in which `Network.freeze` counts them.
    """

    feature_info: list[tuple[int, int]]
    parts: Any

    def reference_names(self) -> Sequence[Entry]:
        """Returns which tensors of the reference, mostly a classifier of torchvision, make up each parameter.

        Weights of the reference can then be loaded as ``pretrained_base``; the file may hold more tensors
        than these.
        """
        return ()


class Network(HybridBlock):
    """A network that knows its name, its classes and its input.

    ``classes`` are the names without background, and ``category_ids`` their ids in the annotations on which
    the network was trained, empty if it was not. ``options`` are the keywords that `get_model` needs to build
    it again. ``layout`` and ``dtype`` are those of its input and its weights.
    """

    backbone: Backbone
    # Whether all images have to be of ``input_size``.
    fixed_size = False

    def __init__(self, name: str, class_names: Sequence[str], preprocess: Preprocess, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_name = name
        self.classes: tuple[str, ...] = tuple(class_names)
        self.category_ids: tuple[int, ...] = ()
        self.best_threshold: float | None = None
        self.preprocess = preprocess
        config = current()
        self.layout, self.dtype = config.layout, config.dtype
        self.options: dict[str, Any] = {}

    @property
    def input_size(self) -> tuple[int, int]:
        """Returns the (height, width) of the input in pixels."""
        return self.preprocess.size

    def arrange(self, images: Any) -> Any:
        """Returns ``images`` (N, 3, H, W), an array or a symbol, in the layout that this network takes."""
        return images if self.layout == "NCHW" else images.transpose((0, 2, 3, 1))

    def forward(self, x: Any, *args: Any) -> Any:
        """Does what Gluon's ``forward`` does, after a check of the images.

        Raises UserError for images that do not have the shape or the type that this network takes.
        """
        # A symbol, from which a graph is traced, has neither.
        if isinstance(x, nd.NDArray):
            self._check_images(x)
        return super().forward(x, *args)

    def _check_images(self, images: Any) -> None:
        # Text in place of a number stands for any size.
        sides = self.input_size if self.fixed_size else ("height", "width")
        wanted = ("N", 3, *sides) if self.layout == "NCHW" else ("N", *sides, 3)
        found = images.shape
        if len(found) != 4 or any(w != f for w, f in zip(wanted, found) if not isinstance(w, str)):
            text = ", ".join(map(str, wanted))
            raise UserError(f"{self.model_name} takes images of shape ({text}), got {found}")
        kind = np.dtype(images.dtype)
        if kind not in (np.dtype(np.float32), np.dtype(self.dtype)):
            raise UserError(f"{self.model_name} takes normalised images of float32, got {kind.name}")

    def load_parameters(
        self,
        filename: str | Path,
        ctx: Any = None,
        allow_missing: bool = False,
        ignore_extra: bool = False,
        cast_dtype: bool = True,
        dtype_source: str = "current",
    ) -> None:
        """Does what Gluon's ``load_parameters`` does, and takes more kinds of files.

        The file may have the other layout or another dtype, and it may name the parameters as
        `collect_params` and exported networks do (``ssd0_expand_conv0_weight``). Files of NVIDIA's MXNet SSD,
        with their own names and, in NHWC, their padding, are taken too. Raises UserError, before anything is
        changed, for a file that is missing, damaged or does not fit, and for a detector of GluonCV.
        """
        # MXNet's own reader ends the process for some damaged files, and shows a trace of its C++ for others.
        found = read_params(filename)
        try:
            arrays = by_parameter_name(self, found)
        except UserError as error:
            raise UserError(f"{filename}: {error}") from None
        arrays = fitting(self, arrays, str(filename), allow_missing=allow_missing, ignore_extra=ignore_extra)
        for name, parameter in self.collect_params().items():
            if name in arrays:
                # In the type of the file, which Gluon then converts or refuses as `cast_dtype` says.
                value = nd.array(arrays[name], dtype=arrays[name].dtype)
                parameter._load_init(value, ctx, cast_dtype=cast_dtype, dtype_source=dtype_source)

    def freeze(self, stages: Iterable[int]) -> None:
        """Stops the training of stages of the backbone: 0 is the stem, 1 the first stage, and so on.

        They are the ``parts`` of the backbone; a GluonCV backbone has one part for each of its outputs. Their
        parameters get no gradient, but batch norm in them still follows autograd's mode. Raises UserError for
        a stage that the backbone does not have.
        """
        parts = list(self.backbone.parts)
        if not isinstance(stages, Iterable):
            raise UserError(f"freeze: stages is {stages!r}; give a list of numbers, such as [{stages!r}]")
        for stage in stages:
            if not isinstance(stage, Integral) or not 0 <= stage < len(parts):
                known = f"stages 0 (the first layers) to {len(parts) - 1}"
                raise UserError(f"freeze: {self.model_name} has {known}, got {stage!r}")
            parts[stage].collect_params().setattr("grad_req", "null")

    def set_norm_epsilon(self, epsilon: float) -> None:
        """Sets the epsilon of every frozen batch norm.

        It has to be the one with which the weights were trained.
        """

        def visit(block: Block) -> None:
            if isinstance(block, FrozenBatchNorm):
                block.epsilon = epsilon

        self.apply(visit)
        self.options["norm_epsilon"] = epsilon
        # A compiled graph has the old epsilon in it; hybridising again drops it.
        self.hybridize(self._active, **dict(self._flags))

    def features(self, x: Any) -> list[Any]:
        """Returns the feature maps that the prediction layers read, from fine to coarse."""
        raise NotImplementedError

    def reference_names(self) -> Sequence[Entry]:
        """Returns which tensors of the PyTorch reference make up each parameter.

        The sequence is empty where there is no reference.
        """
        return ()

    def reference_aliases(self) -> Mapping[str, str]:
        """Returns the name in `reference_names` for every other name that a reference's tensor has."""
        return {}

    def shared_classes(self, classes: Sequence[str]) -> list[tuple[int, int]]:
        """Returns (index here, index in ``classes``) of every class that both know by name."""
        theirs = {name: index for index, name in enumerate(classes)}
        return [(ours, theirs[name]) for ours, name in enumerate(self.classes) if name in theirs]

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        """Returns which rows of the prediction layers can be filled from a network for other ``classes``.

        The other network is of the same model. A family that does not override this fills none: layers whose
        shape depends on the number of classes keep their initial values.
        """
        # A layer depends on the number of classes if it differs between networks for one class and for two.
        known = model_row(self.model_name).options
        options = {key: value for key, value in self.options.items() if key in known}
        one, two = (
            [parameter.shape for parameter in outline.collect_params().values()]
            for outline in (model_outline(self.model_name, names, **options) for names in (["a"], ["a", "b"]))
        )
        none = np.zeros(0, dtype=np.int64)
        changing = (name for name, a, b in zip(self.collect_params(), one, two) if a != b)
        return dict.fromkeys(changing, (none, none, 0))


# What every family has to define; the rest has a default.
REQUIRED = ("hybrid_forward", "features", "anchors", "target_encoder", "loss", "postprocess")


class DetectionNetwork(Network):
    """The contract of a family of detectors: what a family has to define, and what it may define.

    ``net(x)`` turns (B, 3, H, W) normalised images (in its ``layout``) into a tuple of float32 arrays
    (B, A, channels), which ``output_names`` names. The tuple is the same in training and in inference. A is
    the number of anchors, or of places where there are no anchors. The network calls ``features``, and has a
    ``backbone`` that is a `Backbone`.

    A family has to define ``hybrid_forward``, ``features``, ``anchors``, ``target_encoder``, ``loss`` and
    ``postprocess``. It may define ``head_rows``, so that a transfer keeps what is known of classes of the
    same name; ``reference_names`` and ``reference_aliases``, to exchange weights with PyTorch; and
    ``mlperf_tensors``. What is known without building a network is in its `ModelRow`. A class that lacks
    something raises TypeError as soon as it is defined.
    """

    output_names: tuple[str, ...] = ("cls_preds", "box_preds")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # What a class inherits from another family is as good as defined.
        missing = [name for name in REQUIRED if getattr(cls, name) is getattr(DetectionNetwork, name)]
        if missing:
            raise TypeError(f"{cls.__name__} lacks {', '.join(missing)}, which a family of detectors defines")

    def anchors(self, height: int, width: int) -> np.ndarray:
        """Returns (A, 4) float32 ltrb in pixels of an input of this size, in the order of the outputs.

        A detector without anchors returns the square that stands for each place.
        """
        raise NotImplementedError

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> Any:
        """Returns a function that makes the targets of `loss` from padded objects, in NumPy.

        It takes ``boxes`` (B, M, 4), ltrb in fractions of the image, and ``labels`` (B, M), class indices
        with -1 in padding rows, and returns a tuple of float32 arrays. ``input_size`` is (height, width);
        None stands for the network's own.
        """
        raise NotImplementedError

    def loss(self) -> HybridBlock:
        """Returns the block ``loss(*net(x), *targets)``, which returns what is minimised, and its parts.

        All are float32 arrays of shape (1,). The block's ``part_names`` has one name for each part; every
        name ends in ``_loss`` and becomes a column of metrics.csv.
        """
        raise NotImplementedError

    def postprocess(self, input_size: tuple[int, int] | None = None, **settings: Any) -> HybridBlock:
        """Returns the block ``postprocess(*net(x))``, which returns ``class_ids``, ``scores`` and ``boxes``.

        Their shapes are (N, D), (N, D) and (N, D, 4), in the order of falling score. Boxes are ltrb in
        fractions of the image; rows without a detection have class -1 and score 0. ``settings`` are
        ``score_threshold``, ``iou_threshold``, ``max_detections``, ``candidates`` (the number of best pairs
        of box and class that NMS sees), and others that a family may have.
        """
        raise NotImplementedError

    def mlperf_tensors(self) -> list[str]:
        """Returns the names of the trained tensors, as MLPerf's rules list them."""
        statistics = ("running_mean", "running_var")
        return [name for name in self.collect_params() if not name.endswith(statistics)]


def as_detector(net: Any) -> DetectionNetwork:
    """Returns ``net`` itself. Raises UserError where it is no detector."""
    if isinstance(net, DetectionNetwork):
        return net
    name = getattr(net, "model_name", None)
    if name is None:
        raise UserError(f"{type(net).__name__} is no detector; give a DetectionNetwork, as get_model builds")
    raise UserError(f"{name} is a backbone, not a detector (see: gluon-ssd models)")
