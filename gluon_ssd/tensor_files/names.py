"""Turns the names of parameters in MXNet files into those of the networks here.

Gluon has two sets of names: parameter names (``ssd0_expand_conv0_weight``, in files of
``collect_params().save``) and paths of attributes (``predictors.0.conv.weight``, in files of
``save_parameters``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import UserError

# In NVIDIA's SSD the backbone and the extra layers are one block made of symbols, whose paths are parameter
# names without the prefix that they share.
_NVIDIA_FEATURE = re.compile(r"features\.(?:ssd\d+_)?(resnetmlperf\d+_|expand_)(\w+)")
_NVIDIA_PREDICTOR = re.compile(r"predictors\.(\d+)\.predictor\.(weight|bias)")
_NVIDIA_PREFIX = re.compile(r"ssd\d+_(?=resnetmlperf\d+_|expand_|convpredictor\d+_)")
# Convolution and norm in one operator. Names that end in 2 are those of a second pair in it, the shortcut's.
_NVIDIA_FUSED = re.compile(r"(.*_)convbn(\d+)_(weight|gamma|beta|running_mean|running_var)(2?)")
# Constants in files of GluonCV's SSDs, which its networks here make themselves.
_GLUONCV_ANCHORS = re.compile(r"anchor_generators\.\d+\.")
_GLUONCV_SSD = re.compile(r"class_predictors\.\d+\.|ssd\d+_ssdanchorgenerator\d+_")


def plain_name(name: str) -> str:
    """Returns a parameter name in one spelling: without ``arg:``, with ``running_`` for ``moving_``.

    All kinds of norm become ``batchnorm``.
    """
    name = re.sub(r"^(arg|aux):", "", name).replace("_moving_", "_running_")
    return re.sub(r"(^|_)[a-z]+batchnorm(?=\d)", r"\1batchnorm", name)


def nvidia_name(name: str) -> str:
    """Returns the parameter name of a path in a file of NVIDIA's MXNet SSD, and any other name as it is.

    Gluon numbers the networks that a process builds; the number becomes 0.
    """
    feature, predictor = _NVIDIA_FEATURE.fullmatch(name), _NVIDIA_PREDICTOR.fullmatch(name)
    if feature:
        name = f"ssd0_{feature[1]}{feature[2]}"
    elif predictor:
        name = f"ssd0_convpredictor{predictor[1]}_conv0_{predictor[2]}"
    fused = _NVIDIA_FUSED.fullmatch(name)
    if fused:
        kind, number = "conv" if fused[3] == "weight" else "batchnorm", int(fused[2]) + len(fused[4])
        name = f"{fused[1]}{kind}{number}_{fused[3]}"
    return re.sub(r"^ssd0_resnetmlperf\d+_", "ssd0_resnetmlperf0_", _NVIDIA_PREFIX.sub("ssd0_", name))


def by_parameter_name(net: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``arrays``, which have any of Gluon's names, under those of ``net.collect_params()``.

    Names that ``net`` does not have stay as they are. Raises UserError for a detector of GluonCV.
    """
    paths = {path: parameter.name for path, parameter in net._collect_params_with_prefix().items()}
    if paths.keys() & arrays.keys():
        arrays = {name: value for name, value in arrays.items() if not _GLUONCV_ANCHORS.match(name)}
    else:
        refuse_gluoncv_ssd(arrays)
    plain = {plain_name(name): name for name in net.collect_params()}
    return {
        paths.get(name) or plain.get(plain_name(nvidia_name(name)), name): value
        for name, value in arrays.items()
    }


def refuse_gluoncv_ssd(names: Mapping[str, Any]) -> None:
    """Raises UserError when ``names`` are of GluonCV's SSD, which is a model of its own here."""
    if any(_GLUONCV_SSD.match(name) for name in names):
        raise UserError(
            "an SSD of GluonCV's; give the model as gluoncv:NAME with its name in GluonCV, such as --model "
            "gluoncv:ssd_512_resnet50_v1_voc or get_model('gluoncv:ssd_512_resnet50_v1_voc', pretrained=FILE)"
        )
