"""Converts a weight file into one of another kind, for ``gluon-ssd convert``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import as_path, similar
from ..tensor_files.archive import KINDS
from ..tensor_files.backbone_names import short_names, torch_names, torch_prefix
from ..tensor_files.layout import all_to_layout, cut_padding
from ..tensor_files.names import by_parameter_name, refuse_gluoncv_ssd
from ..tensor_files.norms import EPSILON, refit_norms
from ..tensor_files.params_file import write_params
from ..tensor_files.pickles import write_backbone_pickle
from ..tensor_files.reading import read_weights
from ..tensor_files.safetensors_file import write_safetensors
from ..tensor_files.torch_writer import write_torch
from .table import WEIGHTS

# The kinds of file whose tensors have the names of a PyTorch reference, with convolutions as OIHW.
_TORCH = ("torch", "safetensors")
_STEM = "conv0_weight"

State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Source:
    """A file that was read, and what the user says about it.

    ``kind`` and ``state`` are those of `read_weights`. ``model`` and ``classes`` are None where the user does
    not name them.
    """

    path: Path
    kind: str
    state: State
    model: str | None = None
    classes: Sequence[str] | None = None

    @property
    def by_torch_name(self) -> bool:
        """Tells whether the names are those of a PyTorch reference."""
        # The second holds for GluonCV's ResNet v1b, to which `read_weights` gives torchvision's names.
        return self.kind in _TORCH or torch_prefix(self.state) == ""

    @property
    def is_backbone(self) -> bool:
        """Tells whether it is a residual network alone, with torchvision's names or NVIDIA's short ones."""
        return torch_prefix(self.state) == "" or "stage1_conv0_weight" in self.state


def convert_file(
    source: str | Path,
    target: str | Path,
    model: str | None = None,
    classes: Sequence[str] | None = None,
    stages: int | None = None,
) -> str:
    """Converts a weight file, or the checkpoint of a run, into the kind that the suffix of ``target`` names.

    ``model`` and ``classes`` say what ``source`` holds where the file does not. ``stages`` is the number of
    stages of a backbone that go into a pickle. Returns one line on what was written. Raises UserError when
    the file cannot be read or does not fit; what was at ``target`` then stays.
    """
    path, to = _find(as_path(source)), as_path(target)
    if to.suffix.lower() in (".onnx", ".xml"):
        raise UserError(f"{to}: convert is for weights; gluon-ssd export writes whole networks of this kind")
    if to.suffix.lower() not in KINDS:
        raise UserError(f"{to}: its suffix does not say what to write; use {', '.join(KINDS)}")
    if to.exists() and to.resolve() == path.resolve():
        raise UserError(f"{to}: is the source itself; give another name")
    target_kind = KINDS[to.suffix.lower()]
    if stages is not None and target_kind != "pickle":
        raise UserError(f"{to}: stages (--stages) are kept in a .pickle only; leave it out")
    kind, state = read_weights(path)
    if kind == "checkpoint" and (model or classes):
        raise UserError(f"{path}: a checkpoint knows its model and classes; leave out --model and --classes")
    try:
        count, note = _write(Source(path, kind, state, model, classes), to, target_kind, stages)
    except UserError as error:
        said = str(error)
        raise UserError(said if said.startswith((str(path), str(to))) else f"{path}: {said}") from None
    return f"{path} ({kind}, {len(state)} tensors) -> {to} ({target_kind}, {count} tensors){note}"


def _find(source: Path) -> Path:
    if source.is_file():
        return source
    from .checkpoint import find_checkpoint

    try:
        return find_checkpoint(source)
    except UserError:
        if source.is_dir():
            raise
        raise UserError(f"{source}: no such file, checkpoint or run folder{similar(source)}") from None


def _write(source: Source, to: Path, target: str, stages: int | None) -> tuple[int, str]:
    """Writes the target, and returns the number of its tensors and a note for the user."""
    if target == "pickle":
        if stages is None and _has_pyramid(source.state):
            stages = 4  # a pyramid reads the last three stages of any backbone
        return len(write_backbone_pickle(_backbone_state(source), to, stages)), ""
    if target in _TORCH:
        state = _torch_state(source)
        (write_torch if target == "torch" else write_safetensors)(state, to)
        return len(state), ""
    if target == "params" and source.is_backbone and source.model is None:
        state = short_names(source.state)
        write_params(state, to)
        return len(state), ""
    return _write_network(load_network(source), to, target)


def _write_network(net: Any, to: Path, target: str) -> tuple[int, str]:
    if target == "checkpoint":
        from ..model_zoo import model_row
        from .checkpoint import save_checkpoint

        # Checked here, because the message of `save_checkpoint` is about a training.
        wrong = [name for name, array in _parameters(net).items() if not np.isfinite(array).all()]
        if wrong:
            raise UserError(f"{wrong[0]} is not finite (NaN or infinity); no checkpoint is made of that")
        save_checkpoint(to, net)
        detects = model_row(net.model_name).kind == "detector"
        note = f"; gluon-ssd predict photos/ --weights {shlex.quote(str(to))}" if detects else ""
        return len(net.collect_params().keys()), note
    state = _parameters(_with_usual_epsilon(net))
    write_params(state, to)
    options = ", ".join(f"{name}={value!r}" for name, value in getattr(net, "options", {}).items())
    return len(state), f"; build the network with {options}" if options else ""


def _backbone_state(source: Source) -> State:
    """Returns the backbone of ``source`` by short names, with convolutions as OIHW and without padding."""
    try:
        # Where the user names a model or classes, the file has to hold that, and is loaded as a whole below.
        arrays = {} if source.model or source.classes else short_names(source.state)
    except UserError:
        arrays = {}
    if not arrays:
        net = _with_usual_epsilon(load_network(source))
        prefix = net.backbone.prefix
        arrays = short_names({name: a for name, a in _parameters(net).items() if name.startswith(prefix)})
    arrays = all_to_layout(arrays, "NCHW")
    stem = arrays[_STEM].shape if _STEM in arrays else ()
    return cut_padding(arrays, {_STEM: (*stem[:1], 3, *stem[2:])})


def _has_pyramid(state: State) -> bool:
    """Tells whether there are tensors of a feature pyramid, by torchvision's names or either of Gluon's."""
    return any(re.search(r"(^|_)pyramid[0._]|backbone\.fpn\.", name) for name in state)


def _torch_state(source: Source) -> State:
    """Returns the tensors of ``source`` by the names and in the shapes of its PyTorch reference."""
    told = source.model or source.classes
    if source.by_torch_name and not told:
        return source.state
    if source.is_backbone and not told:
        return torch_names(_backbone_state(source))
    from .state import to_torch_state

    return to_torch_state(_with_usual_epsilon(load_network(source)))


def _with_usual_epsilon(net: Any) -> Any:
    """Returns ``net`` after its frozen norms were refitted to the usual epsilon."""
    # A file of tensors cannot state an epsilon, so whoever reads it will use the usual one.
    epsilon = net.options.get("norm_epsilon", EPSILON)
    if epsilon != EPSILON:
        from ..nn import assign

        parameters = net.collect_params()
        for name, value in refit_norms(_parameters(net), epsilon, EPSILON).items():
            assign(parameters[name], value)
        net.set_norm_epsilon(EPSILON)
        del net.options["norm_epsilon"]
    return net


def _parameters(net: Any) -> dict[str, np.ndarray]:
    return {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}


def load_network(source: Source) -> Any:
    """Returns the network whose weights ``source`` holds, with these weights.

    Raises UserError when it cannot be told which network that is, or the weights do not fit.
    """
    if source.kind == "checkpoint":
        from .loading import load

        return load(source.path, device="cpu")
    from ..model_zoo import get_model
    from ..model_zoo.transfer import set_parameters
    from .state import load_torch_state

    net = get_model(source.model or recognise(source), classes=source.classes)
    try:
        if source.by_torch_name:
            load_torch_state(net, source.state)
        else:
            set_parameters(net, by_parameter_name(net, source.state), str(source.path))
    except UserError as error:
        said = str(error) if str(source.path) in str(error) else f"{source.path}: {error}"
        # Where no tensor is missing and some do not fit, the weights are likely for other classes.
        guess = not source.classes and "missing" not in said
        hint = " (other classes than the model's own? name them with --classes)" if guess else ""
        raise UserError(said + hint) from None
    return net


def recognise(source: Source) -> str:
    """Returns the name of the model whose tensors have the names in ``source``.

    Of several such models it is the one that a published file of this name is of, or else the one with the
    most equal shapes. Raises UserError when there is none.
    """
    from ..model_zoo import list_models
    from ..model_zoo.registry import model_outline

    try:
        refuse_gluoncv_ssd(source.state)
    except UserError as error:
        raise UserError(f"{source.path}: {error}") from None
    fits: dict[str, int] = {}
    for name in list_models():
        theirs, ours = _shapes(model_outline(name), source)
        if theirs.keys() == ours.keys():
            fits[name] = sum(theirs[key] == shape for key, shape in ours.items())
    if not fits and not source.by_torch_name and source.is_backbone:
        raise UserError(f"{source.path}: holds a backbone alone; --pretrained-backbone takes it as it is")
    if not fits:
        raise UserError(f"{source.path}: the tensors' names are of no model here; if it is one, give --model")
    published = published_model(source.path)
    return published if published in fits else max(fits, key=lambda name: fits[name])


def published_model(path: Path) -> str | None:
    """Returns the model that the published file of this name is of, or None where there is none."""
    return next((row.model for row in WEIGHTS.values() if row.file == path.name), None)


def named_by(source: Source) -> str:
    """What an error adds where weights do not fit: the model that they are of, where it is one here."""
    from ..model_zoo import list_models, model_row

    try:
        found = recognise(source)
    except UserError:
        return ""
    users = [name for name in list_models("detector") if model_row(name).backbone == found]
    return f"; the file is of {found}" + (f", the backbone of {', '.join(users)}" if users else "")


Shapes = dict[str, tuple[int, ...]]


def _shapes(net: Any, source: Source) -> tuple[Shapes, Shapes]:
    """Returns the shapes by name of the tensors in ``source``, and of those that ``net`` would need.

    Networks without a reference give two different dictionaries, so that they never match a PyTorch file.
    """
    parameters = net.collect_params()
    if not source.by_torch_name:
        theirs = {name: array.shape for name, array in by_parameter_name(net, source.state).items()}
        return theirs, {name: parameter.shape for name, parameter in parameters.items()}
    entries, aliases = net.reference_names(), net.reference_aliases()
    if not entries:
        return {"": ()}, {}
    ours = {}
    for entry in entries:
        # The network has no values. Splitting an array of the smallest type gives the shapes.
        parts = entry.split(np.zeros(parameters[entry.name].shape, np.bool_))
        ours.update({name: part.shape for name, part in zip(entry.sources, parts)})
    names = [name for name in source.state if not name.endswith("num_batches_tracked")]
    return {aliases.get(name, name): source.state[name].shape for name in names}, ours
