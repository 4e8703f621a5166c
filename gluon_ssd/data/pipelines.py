"""The three input pipelines (native, dali, synthetic) behind one function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError, unknown
from .batch import Target
from .epochs import Encoder, EpochLoader
from .records import Records
from .transforms import EvalTransform

PIPELINES = ("native", "dali", "synthetic")


@dataclass(frozen=True)
class InputSettings:
    """How images reach the network. Each field is a key of the recipe and a flag of the command line.

    ``data_pipeline`` is one of PIPELINES. ``workers`` is the number of threads of the native loader, and of
    DALI unless ``dali_workers`` gives another number. ``on_bad_image`` and ``max_bad_share`` are those of
    `NativeLoader`. The others belong to DALI, see `DaliOptions`.
    """

    data_pipeline: str = "native"
    workers: int = 2
    on_bad_image: str = "fail"
    max_bad_share: float = 0.01
    input_jpg_decode: str = "auto"
    hw_decoder_load: float = 0.65
    dali_cache_mb: int | None = None
    dali_workers: int | None = None
    input_batch_multiplier: int = 1


def make_loader(
    dataset: Records,
    transform: EvalTransform,
    batch_size: int,
    settings: InputSettings,
    target: Target,
    *,
    encoder: Encoder | None = None,
    **order: Any,
) -> EpochLoader:
    """Returns the loader that ``settings`` ask for.

    For ``encoder`` see `NativeLoader`, for ``order`` see `EpochLoader`. Raises UserError for settings that do
    not fit each other and for a package that is not installed.
    """
    common: dict[str, Any] = {"encoder": encoder, **order}
    if settings.data_pipeline == "native":
        from .loader import NativeLoader

        common.update(workers=settings.workers, on_bad_image=settings.on_bad_image)
        common.update(max_bad_share=settings.max_bad_share)
        return NativeLoader(dataset, transform, batch_size, **common)
    if settings.data_pipeline == "dali":
        return _dali_loader(dataset, transform, batch_size, settings, target, common)
    if settings.data_pipeline == "synthetic":
        from .synthetic import SyntheticLoader

        return SyntheticLoader(dataset, transform, batch_size, target=target, **common)
    raise unknown("data_pipeline", settings.data_pipeline, PIPELINES)


def _dali_loader(
    dataset: Records,
    transform: EvalTransform,
    batch_size: int,
    settings: InputSettings,
    target: Target,
    common: dict[str, Any],
) -> EpochLoader:
    from .dali import DaliLoader, DaliOptions
    from .dali.options import published_cache_mb

    if settings.on_bad_image == "skip":
        raise UserError(
            "on_bad_image skip: DALI stops at an image it cannot read; use data_pipeline native, or fail"
        )
    options = DaliOptions(
        device=target.device,
        device_id=target.device_id,
        input_jpg_decode=settings.input_jpg_decode,
        hw_decoder_load=settings.hw_decoder_load,
        # NVIDIA's script divides the data set by the number of GPUs to find how much one of them has to
        # cache.
        cache_mb=settings.dali_cache_mb or published_cache_mb(common.get("shard", (0, 1))[1]),
        workers=settings.dali_workers or settings.workers,
        batch_multiplier=settings.input_batch_multiplier,
        layout=target.layout,
        dtype=target.dtype,
    )
    return DaliLoader(dataset, transform, batch_size, options=options, **common)
