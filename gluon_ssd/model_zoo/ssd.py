"""The SSD network: a backbone, extra layers, and one predictor per feature map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mxnet import init
from mxnet.gluon import HybridBlock, nn

from ..anchors import DefaultBoxes
from ..data.preprocess import Preprocess
from ..losses import MultiBoxLoss
from ..nn import Activation, Conv2D, ConvPredictor, TorchBias
from ..nn import norm as trained_norm
from ..postprocess import SSDPostprocess
from ..targets import SSDTargetEncoder
from .base import DetectionNetwork, HeadRows
from .reference_names import Arrays, Entry, conv_entries, norm_entries, resnet_entries
from .specs import ExtraLayer, ReferenceBody


class ExtraBlock(HybridBlock):
    """The layers of an `ExtraLayer`, with batch norm, or with biases and no norm.

    Where there is no norm, ``norm1`` and ``norm2`` are ReLUs.
    """

    def __init__(self, layer: ExtraLayer, in_channels: int, index: int, norm: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            # NVIDIA's names, so that parameter files can be exchanged.
            name = f"expand_trans_conv{index}_"
            self.conv1 = self._conv(layer.middle, 1, in_channels, use_bias=not norm, prefix=name)
            self.norm1 = self._norm(layer.middle, norm, f"expand_trans_batchnorm{index}_")
            geometry = {"strides": layer.stride, "padding": layer.padding}
            name = f"expand_conv{index}_"
            self.conv2 = self._conv(
                layer.channels, 3, layer.middle, use_bias=not norm, prefix=name, **geometry
            )
            self.norm2 = self._norm(layer.channels, norm, f"expand_batchnorm{index}_")

    @staticmethod
    def _conv(channels: int, kernel: int, in_channels: int, **kwargs: Any) -> Conv2D:
        return Conv2D(
            channels,
            kernel,
            in_channels=in_channels,
            weight_initializer=init.Xavier("uniform", "avg", 3),
            bias_initializer=TorchBias(in_channels * kernel * kernel),
            **kwargs,
        )

    @staticmethod
    def _norm(channels: int, norm: bool, prefix: str) -> HybridBlock:
        return trained_norm(channels, act="relu", prefix=prefix) if norm else Activation()

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.norm2(self.conv2(self.norm1(self.conv1(x))))


class SSD(DetectionNetwork):
    """The single shot detector.

    It turns (B, 3, H, W) normalised images into ``cls_preds`` (B, A, C + 1), raw logits with the background
    in channel 0, and ``box_preds`` (B, A, 4), box deltas, both float32. A runs over the feature maps from
    fine to coarse, then row, column and box. The outputs are the same in training and in inference.

    ``class_names`` are those without background. With ``norm`` the extra layers have batch norm instead of
    biases. ``head_stride`` is that of every predictor. ``reference`` says how the network with which it
    exchanges weights names its layers; None where there is no such network. Raises ValueError where the parts
    do not fit together. Source: Liu et al., "SSD: Single Shot MultiBox Detector" (2016).
    """

    fixed_size = True
    # Whether boxes are cut off at the edges of the image before NMS compares them.
    clip_boxes = False

    def __init__(
        self,
        name: str,
        backbone: HybridBlock,
        extras: Sequence[ExtraLayer],
        default_boxes: DefaultBoxes,
        class_names: Sequence[str],
        preprocess: Preprocess,
        *,
        norm: bool = False,
        head_stride: int = 1,
        reference: ReferenceBody | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, class_names, preprocess, **kwargs)
        self.default_boxes, self._reference, self._norm = default_boxes, reference, norm
        self._head_stride = head_stride
        maps = [channels for channels, _ in backbone.feature_info] + [extra.channels for extra in extras]
        if len(maps) != len(default_boxes.map_sizes):
            raise ValueError(
                f"backbone and extra layers give {len(maps)} feature maps, "
                f"the default boxes are for {len(default_boxes.map_sizes)}"
            )
        with self.name_scope():
            self.backbone = backbone
            self.extras = nn.HybridSequential(prefix="")
            in_channels = backbone.feature_info[-1][0]
            for index, extra in enumerate(extras):
                self.extras.add(self._extra_block(extra, in_channels, index))
                in_channels = extra.channels
            self.predictors = nn.HybridSequential(prefix="")
            for index, (channels, boxes) in enumerate(zip(maps, default_boxes.per_cell)):
                self.predictors.add(self._predictor(channels, boxes, index))

    def _extra_block(self, layer: ExtraLayer, in_channels: int, index: int) -> HybridBlock:
        return ExtraBlock(layer, in_channels, index, self._norm, prefix="")

    def _predictor(self, channels: int, boxes: int, index: int) -> HybridBlock:
        count, prefix = len(self.classes) + 1, f"convpredictor{index}_"
        return ConvPredictor(channels, boxes, count, self._head_stride, prefix=prefix)

    def anchors(self, height: int, width: int) -> np.ndarray:
        return self.default_boxes.ltrb(height, width)

    def target_encoder(self, input_size: tuple[int, int] | None = None) -> SSDTargetEncoder:
        # Default boxes are fractions of the image, so the size of the input does not matter.
        return SSDTargetEncoder(self.default_boxes.xywh())

    def loss(self) -> MultiBoxLoss:
        return MultiBoxLoss()

    def postprocess(self, input_size: tuple[int, int] | None = None, **settings: Any) -> SSDPostprocess:
        """Returns the block from outputs to detections; ``settings`` are those of `SSDPostprocess`."""
        settings = {"clip": self.clip_boxes, **settings}
        return SSDPostprocess(self.default_boxes.xywh(), len(self.classes), **settings)

    def head_rows(self, classes: Sequence[str]) -> HeadRows:
        ours_n, theirs_n = len(self.classes) + 1, len(classes) + 1
        table = {}
        for predictor, boxes, ours, theirs in self._class_rows(classes):
            # The four rows of every box's deltas follow, which do not depend on the classes.
            code = np.arange(boxes * 4)
            ours = np.concatenate([ours, boxes * ours_n + code])
            theirs = np.concatenate([theirs, boxes * theirs_n + code])
            for parameter in (predictor.conv.weight, predictor.conv.bias):
                table[parameter.name] = (ours, theirs, boxes * (theirs_n + 4))
        return table

    def _class_rows(self, classes: Sequence[str]) -> Iterator[tuple[Any, int, np.ndarray, np.ndarray]]:
        """Yields each predictor, its boxes per cell, and the rows of shared classes here and there."""
        # The background is shared by all. The class rows of a predictor stand box by box.
        shared = [(0, 0), *((ours + 1, theirs + 1) for ours, theirs in self.shared_classes(classes))]
        ours_in, theirs_in = np.array(shared).T
        ours_n, theirs_n = len(self.classes) + 1, len(classes) + 1
        for predictor, boxes in zip(self.predictors, self.default_boxes.per_cell):
            box = np.arange(boxes)[:, None]
            yield predictor, boxes, (box * ours_n + ours_in).ravel(), (box * theirs_n + theirs_in).ravel()

    def reference_names(self) -> list[Entry]:
        return [] if self._reference is None else list(self._entries(self._reference))

    def _entries(self, reference: ReferenceBody) -> Iterator[Entry]:
        yield from resnet_entries(self.backbone, reference.stem, reference.stages)
        for index, extra in enumerate(self.extras):
            source = f"additional_blocks.{index}"
            # PyTorch numbers the layers of a sequence: convolution, perhaps norm, ReLU, and once more.
            with_norm = extra.conv1.bias is None
            yield from conv_entries(extra.conv1, f"{source}.0")
            yield from conv_entries(extra.conv2, f"{source}.3" if with_norm else f"{source}.2")
            if with_norm:
                yield from norm_entries(extra.norm1, f"{source}.1")
                yield from norm_entries(extra.norm2, f"{source}.4")
        for index, (predictor, boxes) in enumerate(zip(self.predictors, self.default_boxes.per_cell)):
            yield from _head_entries(predictor, index, boxes, len(self.classes) + 1)

    def features(self, x: Any) -> list[Any]:
        """Returns the maps that the predictors read, from fine to coarse."""
        maps = list(self.backbone(x))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, Any]:
        logits, deltas = zip(*[predict(found) for predict, found in zip(self.predictors, self.features(x))])
        cls_preds, box_preds = F.concat(*logits, dim=1), F.concat(*deltas, dim=1)
        return F.amp_cast(cls_preds, dtype="float32"), F.amp_cast(box_preds, dtype="float32")


def _swap(array: np.ndarray, outer: int) -> np.ndarray:
    """Returns ``array`` with channel ``i * inner + j`` as channel ``j * outer + i``."""
    rest = array.shape[1:]
    return array.reshape((outer, -1) + rest).swapaxes(0, 1).reshape((-1,) + rest)


def _head_entries(predictor: Any, index: int, boxes: int, channels: int) -> Iterator[Entry]:
    """Yields the entries of a predictor, which PyTorch's references have as two convolutions.

    Their channels are ordered by class or coordinate and then by box; here they are ordered by box first.
    """

    def join(arrays: Arrays) -> np.ndarray:
        return np.concatenate([_swap(arrays[0], channels), _swap(arrays[1], 4)])

    def split(array: np.ndarray) -> list[np.ndarray]:
        middle = boxes * channels
        return [_swap(array[:middle], boxes), _swap(array[middle:], boxes)]

    for parameter, leaf in ((predictor.conv.weight, "weight"), (predictor.conv.bias, "bias")):
        yield Entry(parameter.name, (f"conf.{index}.{leaf}", f"loc.{index}.{leaf}"), join, split)
