"""The DALI graphs: evaluation, RetinaNet's training, SSD's training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np
from nvidia.dali import Pipeline, fn, types

from .. import crop
from ..colour import LUMA, ColourJitter
from ..preprocess import Preprocess
from .options import DaliOptions

IMAGES, BOXES, LABELS, INDICES, SHAPES = range(5)


@dataclass(frozen=True)
class Augmentation:
    """What becomes of an image: crops tried per option (None: no crop), chance to mirror, and colours."""

    preprocess: Preprocess
    attempts: int | None = None
    mirror: float = 0.0
    jitter: ColourJitter | None = None


def build_pipeline(
    augmentation: Augmentation, options: DaliOptions, source: Callable[[], Any], batch_size: int, seed: int
) -> Any:
    """Returns a built pipeline over ``source``, a function that is called inside the pipeline's definition.

    ``source`` returns the nodes of encoded pictures, boxes, labels and indices. The outputs, in the order of
    IMAGES .. SHAPES, are the images, and for each image boxes (n, 4) as ltrb fractions of the result, labels
    (n,), index of the record (1,), and stored shape (3,).
    """
    # Each random operator gets a seed of its own. By default DALI derives it from the operators in front, so
    # that any change of the graph would change all random numbers.
    seeds = [int(word) & 0x7FFFFFFF for word in np.random.SeedSequence(seed).generate_state(6)]
    device_id = options.device_id if options.device == "gpu" else None
    pipeline = Pipeline(batch_size, options.workers, device_id, seed=seed, prefetch_queue_depth=2)
    with pipeline:
        encoded, boxes, labels, index = source()
        # Read from the header, since the decoded picture may be a crop; the loader compares it with the
        # annotation.
        stored = fn.peek_image_shape(encoded)
        region = None
        # The crop is decided before decoding, so that only its part of the picture needs to be decoded.
        if augmentation.attempts is not None:
            *region, boxes, labels = random_crop(boxes, labels, augmentation.attempts, seeds[0])
        image = _decode(encoded, region, options)
        height, width = augmentation.preprocess.size
        image = fn.resize(image, resize_x=width, resize_y=height, interp_type=types.INTERP_LINEAR)
        if augmentation.jitter is not None:
            image = recolour(image, augmentation.jitter, seeds[2:])
        share = augmentation.mirror
        mirror = fn.random.coin_flip(probability=share, seed=seeds[1]) if share else 0
        if share:
            # One coin mirrors both the boxes here and the pixels in `_normalise`.
            boxes = fn.bb_flip(boxes, ltrb=True, horizontal=mirror)
        image = _normalise(image, mirror, augmentation.preprocess, options)
        pipeline.set_outputs(image, boxes, labels, index, stored)
    pipeline.build()
    return pipeline


def coco_source(annotations: Path, files: Sequence[str]) -> Any:
    """Returns DALI's COCO reader over ``files``, named as in ``annotations``, in their order.

    The last run is filled up with the last file.
    """
    return fn.readers.coco(
        file_root="/",
        annotations_file=str(annotations),
        images=list(files),
        ltrb=True,
        ratio=True,
        image_ids=True,
        # By default DALI would number the categories from 1.
        avoid_class_remapping=True,
        # Which boxes are too small is the data set's decision.
        size_threshold=0.0,
        pad_last_batch=True,
    )


def random_crop(boxes: Any, labels: Any, attempts: int, seed: int = -1) -> Any:
    """Returns ``crop.random_crop`` by DALI: anchor, shape, boxes and labels of the objects centred inside.

    Of DALI's options those of Liu et al. 2016 are chosen: the IoU of the crop with every object counts, the
    aspect is that of the two fractions, objects are kept by their centres, and at least one must be. With one
    attempt per option, as in published trainings, the two are the same in distribution. With more they differ
    a little: DALI does not stop at the first good crop but makes all attempts, and a last one that holds no
    centre spoils it.
    """
    # DALI has no -inf; 0 means the same, since an IoU is never below it.
    thresholds = [max(option, 0.0) for option in crop.MIN_IOUS if option is not None]
    return fn.random_bbox_crop(
        boxes,
        labels,
        bbox_layout="xyXY",
        thresholds=thresholds,
        threshold_type="iou",
        all_boxes_above_threshold=True,
        allow_no_crop=None in crop.MIN_IOUS,
        scaling=[crop.MIN_SIDE, 1.0],
        aspect_ratio=[1 / crop.MAX_ASPECT, crop.MAX_ASPECT],
        num_attempts=attempts,
        seed=seed,
    )


def _decode(encoded: Any, region: Any, options: DaliOptions) -> Any:
    """RGB on ``options.device``. Only the crop is decoded, except for the cache and the hardware decoder."""
    decoder = options.decoder
    settings: dict[str, Any] = {"output_type": types.RGB}
    if decoder == "cpu":
        if region is None:
            image = fn.decoders.image(encoded, **settings)
        else:
            image = fn.decoders.image_slice(encoded, *region, **settings)
        # Decoded on the CPU and copied; the rest of the graph runs on the device.
        return image.gpu() if options.device == "gpu" else image
    settings["device"] = "mixed"
    settings["hw_decoder_load"] = options.hw_decoder_load if decoder == "hw" else 0.0
    if decoder in ("cache", "hw"):
        # DALI's decoder of parts never uses the hardware decoder, nor a cache.
        cache = {"cache_size": options.cache_mb, "cache_type": "threshold"} if decoder == "cache" else {}
        image = fn.decoders.image(encoded, **settings, **cache)
        return image if region is None else fn.slice(image, *region)
    if region is None:
        return fn.decoders.image(encoded, **settings)
    return fn.decoders.image_slice(encoded, *region, **settings)


def recolour(image: Any, jitter: ColourJitter, seeds: Sequence[int] = (-1,) * 4) -> Any:
    """Returns ``colour.recolour`` with random values by DALI: one matrix and one offset, clipped once.

    ``fn.hsv`` scales and turns the chroma plane of YIQ as `Colour.matrix` does, and its ``value`` takes the
    gain of brightness and contrast. The mean luma that contrast blends with is computed on the image's own
    device.
    """
    brightness, contrast = _uniform(jitter.brightness, seeds[0]), _uniform(jitter.contrast, seeds[1])
    saturation, hue = _uniform(jitter.saturation, seeds[2]), _uniform(jitter.hue, seeds[3]) * 360.0
    if jitter.centre is None:
        means = fn.reductions.mean(image, axes=[0, 1])
        centre = fn.reductions.sum(means * types.Constant(LUMA.astype(np.float32)), axes=[0])
    else:
        centre = jitter.centre
    offset = centre * ((1.0 - contrast) * brightness)
    # FLOAT keeps what is above 255 or below 0 until the offset is added.
    image = fn.hsv(image, hue=hue, saturation=saturation, value=brightness * contrast, dtype=types.FLOAT)
    return fn.cast(image + offset, dtype=types.UINT8)


def _uniform(limits: tuple[float, float], seed: int) -> Any:
    # DALI refuses a range of one value.
    low, high = (float(limit) for limit in limits)
    return fn.random.uniform(range=[low, high], seed=seed) if high > low else low


def _normalise(image: Any, mirror: Any, preprocess: Preprocess, options: DaliOptions) -> Any:
    return fn.crop_mirror_normalize(
        image,
        mirror=mirror,
        # DALI's pixels are 0..255, the network's mean and deviation are for 0..1.
        mean=[255 * value for value in preprocess.mean],
        std=[255 * value for value in preprocess.std],
        dtype=types.FLOAT16 if options.dtype == "float16" else types.FLOAT,
        # Without the N, which is the batch.
        output_layout=options.layout[1:],
        pad_output=options.pad_channels,
    )
