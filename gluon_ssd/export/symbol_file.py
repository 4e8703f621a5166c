"""MXNet's own files: a symbol and its parameters."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import mxnet as mx

from ..errors import UserError
from ..files import as_path, as_utf8
from ..folders import files_together
from ..tensor_files.params_file import dump_params
from .proof import Proof, Reference, difference, pictures_of, require
from .sources import DETECTIONS, INPUT, Exported, Options, network_of


def to_symbol(source: Any, path: str | Path, **options: Any) -> Exported:
    """Writes ``path``-symbol.json and ``path``-0000.params for MXNet's `SymbolBlock.imports`.

    The input is ``images``, (N, 3, H, W) normalised; the outputs are raw or, with ``detections``, padded
    class ids, scores and boxes as fractions. ``options``: those of `Options`; ``preprocess`` and ``batch``
    are not for symbols. Raises UserError where the files cannot be written or do not compute what the network
    does.
    """
    asked, prefix = Options(**options), as_path(path)
    if asked.preprocess or asked.batch is not None or asked.precision != "fp32":
        raise UserError(f"{prefix}: a symbol is float32 and takes normalised batches of any size")
    if not prefix.name or str(path).endswith(("/", os.sep)):
        raise UserError(f"{path}: is a folder; name what both files start with, such as {prefix / 'model'}")
    if not prefix.parent.is_dir():
        raise UserError(f"{prefix}: there is no folder {prefix.parent}")
    as_utf8(prefix, "MXNet")
    net = network_of(source, asked.input_size)
    symbol, arrays = _symbol(net, asked)
    names = [prefix.with_name(prefix.name + ending) for ending in ("-0000.params", "-symbol.json")]
    with files_together(names) as folder:
        made = [folder / name.name for name in names]
        # MXNet's own writer has no error of its own for a full disk, and overlooks one at the very end.
        with open(made[0], "wb") as file:
            dump_params({name: array.asnumpy() for name, array in arrays.items()}, file)
        made[1].write_text(symbol.tojson(), encoding="utf-8")
        line = _prove(net, made, asked)
    size = sum(name.stat().st_size for name in names) / 1e6
    return Exported(names[1], (f"{names[1]} and {names[0].name}: {size:.1f} MB, MXNet's symbol", line))


def _symbol(net: Any, options: Options) -> tuple[Any, dict[str, Any]]:
    outputs = net(mx.sym.var(INPUT))
    blocks = [net]
    if options.detections:
        block = net.postprocess(net.preprocess.size, **{**DETECTIONS, **options.settings})
        block.initialize()
        outputs = block(*outputs)
        blocks.append(block)
    symbol = mx.sym.Group(list(outputs))
    kinds = dict.fromkeys(symbol.list_arguments(), "arg")
    kinds.update(dict.fromkeys(symbol.list_auxiliary_states(), "aux"))
    parameters = [item for block in blocks for item in block.collect_params().items()]
    return symbol, {f"{kinds[name]}:{name}": value.data() for name, value in parameters if name in kinds}


def _prove(net: Any, files: list[Path], options: Options) -> str:
    if not options.prove:
        return "not compared with the network, as asked"
    images = pictures_of(options)
    reference = Reference(net, images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the type of the images is not known yet
        block = mx.gluon.SymbolBlock.imports(str(files[1]), [INPUT], str(files[0]))
    found = [output.asnumpy() for output in block(mx.nd.array(reference.inputs))]
    wanted, names = reference.outputs, net.output_names
    if options.detections:
        wanted = reference.detections({**DETECTIONS, **options.settings})
        names = ("class_ids", "scores", "boxes")
    differences = dict(zip(names, map(difference, found, wanted)))
    proof = Proof("MXNet", len(images), differences, 0, 0)
    require(proof, files[1].name)
    return str(proof)
