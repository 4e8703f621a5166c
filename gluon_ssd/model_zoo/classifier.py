"""Backbones on their own: as classifiers, and as makers of feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mxnet import init
from mxnet.gluon import HybridBlock

from ..data.preprocess import Preprocess
from ..nn import Dense, GlobalAvgPool2D
from .base import HeadRows, Network
from .reference_names import Entry, conv_entries


class Classifier(Network):
    """A backbone, global average pooling and one dense layer, as in torchvision's classifiers.

    It turns (B, 3, H, W) normalised images into float32 logits (B, C). ``features(x)`` returns the maps of
    the backbone instead, from fine to coarse; ``feature_info`` is (channels, stride) of each map.
    ``reference_output`` is the name of the dense layer in its reference.
    """

    def __init__(
        self,
        name: str,
        backbone: HybridBlock,
        class_names: Sequence[str],
        preprocess: Preprocess,
        reference_output: str = "fc",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, class_names, preprocess, **kwargs)
        self._reference_output = reference_output
        self.feature_info = backbone.feature_info
        channels = backbone.feature_info[-1][0]
        with self.name_scope():
            self.backbone = backbone
            self.pool = GlobalAvgPool2D()
            self.output = Dense(
                len(self.classes),
                in_units=channels,
                weight_initializer=init.Xavier("uniform", "in", 1),
                prefix="dense0_",
            )

    def features(self, x: Any) -> list[Any]:
        """Returns the maps of every stage, from fine to coarse, without the classifier."""
        return self.backbone(x)

    def reference_names(self) -> list[Entry]:
        return [*self.backbone.reference_names(), *conv_entries(self.output, self._reference_output)]

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        # The reshape keeps two columns where no class is shared and the list is empty.
        ours, theirs = np.array(self.shared_classes(classes), dtype=np.int64).reshape(-1, 2).T
        output = self.output
        return {parameter.name: (ours, theirs, len(classes)) for parameter in (output.weight, output.bias)}

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.output(self.pool(self.backbone(x)[-1]))
