"""What every network of the zoo has, and the contract of a family of detectors.

A family is one file: a subclass of `DetectionNetwork`, a function that builds it, and a `ModelRow` per model
that `register_model` puts into the zoo. Nothing else in the library asks which family a network is of.
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

# By name of a parameter whose rows belong to classes: our rows, where they come from, rows of the source.
HeadRows = dict[str, tuple[np.ndarray, np.ndarray, int]]


class Backbone(HybridBlock):
    """What a detector builds on: (B, 3, H, W) images to a list of feature maps, fine to coarse.

    ``feature_info``: (channels, stride) of each map. ``parts``: blocks from the input to the last map, in
    order, which is how `Network.freeze` counts them.
    """

    feature_info: list[tuple[int, int]]
    parts: Any

    def reference_names(self) -> Sequence[Entry]:
        """Which tensors of the reference make up each parameter; it is mostly a classifier of torchvision's.

        Weights of it, of which more may be in a file, can then be loaded as ``pretrained_base``.
        """
        return ()


class Network(HybridBlock):
    """A network that knows its name, its classes and its input.

    ``classes``: names without background; ``category_ids``: theirs in the annotations it was trained on, if
    it was. ``options``: what else `get_model` needs to build it again.
    ``layout`` and ``dtype``: of its input and its weights.
    """

    backbone: Backbone
    # Whether all images have to be of ``input_size``.
    fixed_size = False

    def __init__(self, name: str, class_names: Sequence[str], preprocess: Preprocess, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_name = name
        self.classes: tuple[str, ...] = tuple(class_names)
        self.category_ids: tuple[int, ...] = ()
        self.preprocess = preprocess
        config = current()
        self.layout, self.dtype = config.layout, config.dtype
        self.options: dict[str, Any] = {}

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.preprocess.size

    def arrange(self, images: Any) -> Any:
        """(N, 3, H, W) images, an array or a symbol, in the layout that this network takes."""
        return images if self.layout == "NCHW" else images.transpose((0, 2, 3, 1))

    def forward(self, x: Any, *args: Any) -> Any:
        """Gluon's. Raises UserError for images that are not of the shape or type that this network takes."""
        if isinstance(x, nd.NDArray):
            self._check_images(x)
        return super().forward(x, *args)

    def _check_images(self, images: Any) -> None:
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
        """Gluon's, which besides takes files of the other layout, of another dtype, and by whole names.

        Whole names, ``ssd0_expand_conv0_weight``, are those of `collect_params` and of exported networks.
        Files of NVIDIA's MXNet SSD have paths of their own and, in NHWC, padding, which is cut off. Raises
        UserError, before anything is changed, for a file that is missing, damaged (MXNet's own reader aborts
        or answers with a trace of its C++) or does not fit, and for a detector of GluonCV's.
        """
        found = read_params(filename)
        try:
            arrays = by_parameter_name(self, found)
        except UserError as error:
            raise UserError(f"{filename}: {error}") from None
        arrays = fitting(self, arrays, str(filename), allow_missing=allow_missing, ignore_extra=ignore_extra)
        for name, parameter in self.collect_params().items():
            if name in arrays:
                value = nd.array(arrays[name], dtype=arrays[name].dtype)
                parameter._load_init(value, ctx, cast_dtype=cast_dtype, dtype_source=dtype_source)

    def freeze(self, stages: Iterable[int]) -> None:
        """Stops training the given stages of the backbone: 0 is the stem, 1 the first stage, and so on.

        They are the ``parts`` of the backbone; a GluonCV backbone has one for each of its outputs instead.

        Their parameters get no gradient; batch norm in them still follows autograd's mode. Raises UserError
        for a stage that the backbone does not have.
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
        """Changes the epsilon of every frozen batch norm: weights go with the one they were trained with."""

        def visit(block: Block) -> None:
            if isinstance(block, FrozenBatchNorm):
                block.epsilon = epsilon

        self.apply(visit)
        self.options["norm_epsilon"] = epsilon
        self.hybridize(self._active, **dict(self._flags))

    def features(self, x: Any) -> list[Any]:
        """The feature maps that are predicted from, fine to coarse."""
        raise NotImplementedError

    def reference_names(self) -> Sequence[Entry]:
        """Which tensors of the PyTorch reference make up each parameter; empty where there is none."""
        return ()

    def reference_aliases(self) -> Mapping[str, str]:
        """Other names that the reference's tensors go by: alias to the name in `reference_names`."""
        return {}

    def shared_classes(self, classes: Sequence[str]) -> list[tuple[int, int]]:
        """(our index, index in ``classes``) of every class that both know by name."""
        theirs = {name: index for index, name in enumerate(classes)}
        return [(ours, theirs[name]) for ours, name in enumerate(self.classes) if name in theirs]

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        """Which rows of the prediction layers a network of the same model for ``classes`` can fill.

        Unless a family says more, none: layers whose shape depends on the number of classes start anew.
        """
        known = model_row(self.model_name).options
        options = {key: value for key, value in self.options.items() if key in known}
        one, two = (
            [parameter.shape for parameter in outline.collect_params().values()]
            for outline in (model_outline(self.model_name, names, **options) for names in (["a"], ["a", "b"]))
        )
        none = np.zeros(0, dtype=np.int64)
        changing = (name for name, a, b in zip(self.collect_params(), one, two) if a != b)
        return dict.fromkeys(changing, (none, none, 0))


# What a family cannot do without.
REQUIRED = ("hybrid_forward", "features", "anchors", "target_encoder", "loss", "postprocess")


class DetectionNetwork(Network):
    """The contract of a family of detectors: what it has to say, and what it may.

    ``net(x)`` turns (B, 3, H, W) normalised images (in its ``layout``) into a tuple of float32 arrays, (B, A,
    channels) each, the same in every mode, named by ``output_names``. A is the number of anchors, or of
    places where there are none. It calls ``features``, and has ``backbone``, whose ``feature_info`` is
    (channels, stride) of each map and whose ``parts`` are what `freeze` counts.

    A family defines ``hybrid_forward``, ``features``, ``anchors``, ``target_encoder``, ``loss`` and
    ``postprocess``. It may define ``head_rows``, so that transfer keeps what is known of classes of the same
    name; ``reference_names`` and ``reference_aliases``, to exchange weights with PyTorch; ``mlperf_tensors``.
    What is known without building a network stands in its `ModelRow`. A class that lacks something raises
    TypeError as soon as it is defined.
    """

    output_names: tuple[str, ...] = ("cls_preds", "box_preds")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        missing = [name for name in REQUIRED if getattr(cls, name) is getattr(DetectionNetwork, name)]
        if missing:
            raise TypeError(f"{cls.__name__} lacks {', '.join(missing)}, which a family of detectors defines")

    def anchors(self, height: int, width: int) -> np.ndarray:
        """(A, 4) float32 ltrb in pixels of an input of this size, in the order of the outputs.

        A detector without anchors gives the square that stands for each place.
        """
        raise NotImplementedError

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> Any:
        """Callable that makes the arrays that `loss` wants, of padded objects, in NumPy.

        It takes ``boxes`` (B, M, 4) ltrb fractions and ``labels`` (B, M), -1 in padding rows, and returns a
        tuple of float32 arrays. ``input_size``: (height, width), None is the network's own.
        """
        raise NotImplementedError

    def loss(self) -> HybridBlock:
        """The block ``loss(*net(x), *targets)``, which returns what is minimised and its parts.

        All are float32 arrays of shape (1,). ``part_names`` of the block names the parts, as many as there
        are; every name ends in ``_loss`` and becomes a column of metrics.csv.
        """
        raise NotImplementedError

    def postprocess(self, input_size: tuple[int, int] | None = None, **settings: Any) -> HybridBlock:
        """The block ``postprocess(*net(x))``, which returns padded ``class_ids``, ``scores`` and ``boxes``.

        Shapes are (N, D), (N, D) and (N, D, 4), best first; boxes are ltrb fractions of the image, rows
        without a detection have class -1 and score 0. ``settings``: ``score_threshold``, ``iou_threshold``,
        ``max_detections`` and ``candidates``, the best pairs of box and class that NMS sees, and more where
        a family has more.
        """
        raise NotImplementedError

    def mlperf_tensors(self) -> list[str]:
        """The trained tensors under the names that MLPerf's rules list them by."""
        statistics = ("running_mean", "running_var")
        return [name for name in self.collect_params() if not name.endswith(statistics)]


def as_detector(net: Any) -> DetectionNetwork:
    """``net`` itself. Raises UserError where it is no detector."""
    if isinstance(net, DetectionNetwork):
        return net
    name = getattr(net, "model_name", None)
    if name is None:
        raise UserError(f"{type(net).__name__} is no detector; give a DetectionNetwork, as get_model builds")
    raise UserError(f"{name} is a backbone, not a detector (see: gluon-ssd models)")
