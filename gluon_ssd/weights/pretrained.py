"""Builds networks with trained weights, which are published or come from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import numpy as np

from .. import model_zoo
from ..errors import UserError, unknown
from ..files import as_path
from ..model_zoo.gluoncv_backbone import PREFIX
from ..model_zoo.registry import ModelRow, model_outline, model_row
from ..model_zoo.transfer import TransferReport, fitting, transfer
from ..tensor_files.archive import KINDS
from ..tensor_files.names import by_parameter_name
from ..tensor_files.reading import kind_of, read_weights
from . import WEIGHTS, pull
from .backbones import load_backbone
from .checkpoint import SUFFIX, find_checkpoint, read_checkpoint
from .conversion import Source, named_by, published_model
from .state import torch_parameters

# False for no weights, True for those published of the model, a name of the weight table, or a file.
Choice = Union[bool, str, Path]
# This stands for True where only text is possible.
PUBLISHED = "pretrained"


def _published(choice: Choice, own: str) -> str | None:
    """Returns the name of the published weights that ``choice`` means, or None where it means a file.

    ``own`` is the name of those published of the model. Text that is a published name always means those
    weights, whatever is in the current folder; a file or folder of that name is ``./resnet18``, or a `Path`.
    """
    if choice is True or (isinstance(choice, str) and choice == PUBLISHED):
        return own
    return choice if isinstance(choice, str) and choice in WEIGHTS else None


def is_published(choice: str) -> bool:
    """Tells whether a recipe's ``weights`` or ``pretrained_backbone`` means published weights, not a file."""
    return _published(choice, PUBLISHED) is not None


def get_model(
    name: str,
    classes: Sequence[str] | None = None,
    layout: str = "NCHW",
    dtype: str = "float32",
    ctx: Any = None,
    *,
    pretrained: Choice = False,
    pretrained_base: Choice = False,
    **options: Any,
) -> Any:
    """Builds a detection network, or a backbone as a classifier, and can load trained weights into it.

    Without the two keywords below it does what `model_zoo.get_model` does, where the other arguments are
    explained.

    ``pretrained`` is True for the weights published of this model, a published name (``gluon-ssd models
    pull`` lists them), a file of any kind that `convert.read_weights` reads, or a run folder. Text that is a
    published name never means a file; ``./NAME`` does. The prediction layers keep what the weights know of
    classes of the same name, and start anew for other classes. ``pretrained_base`` is the same for the
    backbone of a detector alone. Only these two download anything, and only files that are not in the weight
    store. Raises UserError where there are no such weights, or the file cannot be fetched, is damaged or does
    not fit.
    """
    if pretrained is not False and pretrained_base is not False:
        raise UserError("pretrained weights bring their backbone along; give pretrained or pretrained_base")
    # Built first, so that a mistake in the arguments is found before anything is downloaded.
    net = model_zoo.get_model(name, classes, layout, dtype, ctx, **options)
    backbone = options.get("backbone")
    if pretrained is not False:
        trained = _find(model_row(name), pretrained, net.classes, backbone)
        missing = trained.put_into(net).kept_initial
        if missing:
            raise UserError(f"{trained.path}: does not fit {name}: it lacks {', '.join(missing[:3])}")
    elif pretrained_base is not False:
        load_backbone(net, find_backbone(name, pretrained_base, backbone))
    return net


@dataclass(frozen=True)
class Trained:
    """The weights of a whole network for ``classes``, by its parameter names, from the file ``path``.

    ``options`` are those of `get_model` with which they were trained. Of these only ``norm_epsilon`` changes
    what a network computes with them.
    """

    path: Path
    classes: tuple[str, ...]
    parameters: dict[str, np.ndarray]
    options: dict[str, Any] = field(default_factory=dict)

    def put_into(self, net: Any) -> TransferReport:
        """Sets what fits of ``net``, a network of the same model, and returns a report of that.

        Classes are compared by name.
        """
        report = transfer(net, self.parameters, self.classes)
        if "norm_epsilon" in self.options:
            net.set_norm_epsilon(self.options["norm_epsilon"])
        return report


def find_trained(
    model: str, where: str | Path, classes: Sequence[str], backbone: str | None = None
) -> Trained:
    """Returns what a recipe's ``weights`` mean.

    ``where`` is ``pretrained``, a published name, a weight file, a checkpoint or a run folder. A file that
    does not name its classes is first tried for ``classes``. ``backbone`` is ``gluoncv:NAME`` where it is not
    the model's own. Raises UserError when there are no such weights, or they are damaged or of another model.
    """
    row, names = model_row(model), tuple(classes)
    if _published(where, row.weights) is not None:
        return _find(row, where, names, backbone)
    path = as_path(where)
    return _read(row, path if path.is_file() else find_checkpoint(path), names, backbone)


def find_backbone(model: str, choice: Choice, backbone: str | None = None) -> Path:
    """Returns the file that ``pretrained_base=choice`` means.

    ``backbone`` is ``gluoncv:NAME`` where it is not the model's own. Raises UserError when there is no such
    file.
    """
    row = model_row(model)
    if row.kind == "backbone":
        raise UserError(f"{model} is a backbone itself; pretrained, not pretrained_base, gives it weights")
    published = _published(choice, row.backbone_weights if backbone is None else "")
    if published == "" and backbone is not None:
        network = backbone[len(PREFIX) :]
        raise UserError(
            f"{backbone}: its weights are GluonCV's to download; save them with gluoncv's "
            f"get_model({network!r}, pretrained=True).save_parameters(FILE) and give pretrained_base=FILE"
        )
    if published == "":
        raise UserError(f"{model}: no weights of its backbone are published, it trains from random ones")
    return _file(published, choice, "pretrained_base")


def _find(row: ModelRow, choice: Choice, classes: tuple[str, ...], backbone: str | None = None) -> Trained:
    """Returns the weights that ``pretrained=choice`` means."""
    name = _published(choice, row.weights if backbone is None else "")
    if name == "":
        has_base = row.backbone_weights and backbone is None
        advice = "pretrained_base=True gives it a backbone trained on ImageNet" if has_base else "train it"
        raise UserError(f"{row.name}: no weights of the whole network are published; {advice}")
    published = None if name is None else WEIGHTS[name]
    if published is not None and published.model != row.name:
        is_base = published.model == row.backbone
        advice = "; give them as pretrained_base (--pretrained-backbone)" if is_base else ""
        raise UserError(f"weights {published.name} are of {published.model}, not of {row.name}{advice}")
    path = _file(name, choice, "pretrained")
    # The classes of published weights are known; others of the same number would fit by mistake.
    return _read(row, path, row.default_classes if published else classes, backbone)


def _file(published: str | None, choice: Choice, what: str) -> Path:
    """Returns the file of ``published``, or where that is None the one that ``choice`` names."""
    if published is not None:
        return pull(published)
    if not isinstance(choice, (str, Path)) or not str(choice):
        raise UserError(f"{what} is {choice!r}; give True, False, the name of published weights or a file")
    path = as_path(choice)
    if path.is_file():
        return path
    if path.is_dir():
        return find_checkpoint(path)
    if isinstance(choice, Path) or path.suffix.lower() in KINDS or len(path.parts) > 1:
        raise UserError(f"{path}: no such weight file")
    raise unknown("weights", choice, WEIGHTS)


def _read(row: ModelRow, path: Path, classes: tuple[str, ...], backbone: str | None = None) -> Trained:
    """Returns the weights in a file.

    A file that does not name its classes is tried for ``classes``, and then for the model's own.
    """
    if path.suffix == SUFFIX or kind_of(path) == "checkpoint":
        checkpoint = read_checkpoint(path)
        if checkpoint.model != row.name:
            raise UserError(f"{path}: holds a {checkpoint.model}, not a {row.name}")
        return Trained(path, checkpoint.classes, checkpoint.parameters, checkpoint.options)
    published = published_model(path)
    if published != row.name and published in model_zoo.list_models(row.kind):
        raise UserError(f"{path}: the published weights of {published}, not of {row.name}")
    kind, state = read_weights(path)
    source = Source(path, kind, state)
    options = {} if backbone is None else {"backbone": backbone}
    problems = []
    for names in dict.fromkeys((classes, row.default_classes)):
        outline = model_outline(row.name, names, **options)
        try:
            if source.by_torch_name:
                parameters, epsilon = torch_parameters(outline, state)
            else:
                parameters, epsilon = fitting(outline, by_parameter_name(outline, state), str(path)), None
            return Trained(path, names, parameters, {} if epsilon is None else {"norm_epsilon": epsilon})
        except UserError as error:
            problems.append(str(error))
    # The first attempt was for the classes that the user asked for.
    said = problems[0] if problems[0].startswith(str(path)) else f"{path}: {problems[0]}"
    raise UserError(said + named_by(source))
