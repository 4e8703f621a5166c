"""How DALI is to work: where it decodes, in how many threads, and what its images look like."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UserError, unknown

DECODERS = ("auto", "cpu", "gpu", "cache", "hw")
# COCO's training images, decoded, are about 100 GB; NVIDIA's SSD gives them 12 GB of each GPU at most.
_ALL_IMAGES_MB, _MOST_MB = 100 * 1024, 12 * 1024
_CHOICES = {
    "input_jpg_decode": DECODERS,
    "device": ("cpu", "gpu"),
    "layout": ("NCHW", "NHWC"),
    "dtype": ("float32", "float16"),
}


@dataclass(frozen=True)
class DaliOptions:
    """The settings of an input pipeline that only DALI has, named as in NVIDIA's SSD where it has them.

    ``device`` is where images are resized, coloured and normalised, and where batches end up; ``device_id``
    says which GPU. ``input_jpg_decode`` is ``cpu``, or on the GPU also ``gpu``, ``hw`` (the hardware decoder
    of A100 and later takes the share ``hw_decoder_load`` of the images, the rest is as ``gpu``) and ``cache``
    (decoded once, whole, and kept in ``cache_mb`` MB of the GPU's memory for the epochs to come); ``auto`` is
    ``cpu`` or ``gpu``, as the device. ``workers`` is the number of DALI's threads. ``batch_multiplier`` is
    the number of batches that DALI makes at once. ``layout`` and ``dtype`` are those of the images;
    ``pad_channels`` adds a fourth channel of zeros.

    Raises UserError for values that do not fit, or do not fit each other.
    """

    device: str = "cpu"
    device_id: int = 0
    input_jpg_decode: str = "auto"
    hw_decoder_load: float = 0.65
    cache_mb: int = _MOST_MB
    workers: int = 2
    batch_multiplier: int = 1
    layout: str = "NCHW"
    dtype: str = "float32"
    pad_channels: bool = False

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown(name, str(getattr(self, name)), known)
        for name, least in (("workers", 1), ("batch_multiplier", 1), ("cache_mb", 1)):
            if getattr(self, name) < least:
                raise UserError(f"DALI: {name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 <= self.hw_decoder_load <= 1:
            raise UserError(f"DALI: hw_decoder_load is {self.hw_decoder_load}; it must be in 0 .. 1")
        if self.device == "cpu" and self.input_jpg_decode not in ("auto", "cpu"):
            raise UserError(
                f"input_jpg_decode {self.input_jpg_decode} works on a GPU only; use cpu (or auto) here"
            )

    @property
    def decoder(self) -> str:
        """The decoder that ``auto`` stands for."""
        return self.device if self.input_jpg_decode == "auto" else self.input_jpg_decode


def published_cache_mb(processes: int) -> int:
    """Returns the MB of cache of one GPU of ``processes``, as NVIDIA's SSD sizes it."""
    return min(-(-_ALL_IMAGES_MB // processes), _MOST_MB)
