"""What every network of the zoo has in common."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any, Dict, Iterable, Sequence, Tuple

import numpy as np
from mxnet import nd
from mxnet.gluon import HybridBlock

from ..convert.params_file import read_params
from ..data.preprocess import Preprocess
from ..errors import UserError
from ..nn import current
from ..parameter_names import by_parameter_name
from .transfer import fitting

# By name of a parameter whose rows belong to classes: our rows, where they come from, rows of the source.
HeadRows = Dict[str, Tuple[np.ndarray, np.ndarray, int]]


class Network(HybridBlock):
    """A network that knows its name, its classes and its input.

    ``classes``: names without background. ``options``: what else `get_model` needs to build it again.
    ``layout`` and ``dtype``: of its input and its weights.
    """

    backbone: Any
    # Whether all images have to be of ``input_size``.
    fixed_size = False

    def __init__(self, name: str, class_names: Sequence[str], preprocess: Preprocess, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_name = name
        self.classes: tuple[str, ...] = tuple(class_names)
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

        A GluonCV backbone counts the parts up to each of its outputs instead.

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

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> Any:
        """Callable that makes dense targets of padded objects. Raises UserError where there is none."""
        raise self._no_detector()

    def loss(self) -> Any:
        """The loss that trains this network. Raises UserError where there is none."""
        raise self._no_detector()

    def postprocess(self, **settings: Any) -> Any:
        """The block from outputs to detections. Raises UserError where there is none."""
        raise self._no_detector()

    def _no_detector(self) -> UserError:
        return UserError(f"{self.model_name} is a backbone, not a detector (see: gluon-ssd models)")

    def shared_classes(self, classes: Sequence[str]) -> list[tuple[int, int]]:
        """(our index, index in ``classes``) of every class that both know by name."""
        theirs = {name: index for index, name in enumerate(classes)}
        return [(ours, theirs[name]) for ours, name in enumerate(self.classes) if name in theirs]

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        """Which rows of the prediction layers a network of the same model for ``classes`` can fill."""
        raise self._no_detector()
