"""From the command lines of the published trainings to ``gluon-ssd train`` and ``gluon-ssd val``.

The options are the rows of `options.OPTIONS`. Flags of ``gluon-ssd train`` that are no published option are
taken as they are, so that whatever a recipe knows can be added to a published command.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, field, fields
from typing import Any, Iterable, Sequence

from ..cli.parsing import Parser, example
from ..errors import UserError, unknown
from ..launch import detect
from ..recipe import Recipe, load_recipe
from ..values import convert_text
from .options import OPTIONS, SYSTEMS, Option, System

_KEYS = {item.name: item for item in fields(Recipe)}
# What val understands, and how it calls it; the rest of a recipe plays no part in an evaluation.
_IN_VAL = {
    "data": "--data",
    "val_annotation": "--annotation",
    "val_images": "--images",
    "limit_val": "--limit",
    "precision": "--precision",
    "output": "--output",
    **{
        key: "--" + key.replace("_", "-")
        for key in (
            "workers",
            "score_threshold",
            "iou_threshold",
            "max_detections",
            "nms_candidates",
            "device",
            "data_pipeline",
            "dali_workers",
            "input_batch_multiplier",
            "input_jpg_decode",
            "dali_cache_mb",
            "hw_decoder_load",
        )
    },
}
_TAKEN_BY_VAL = (
    *("@checkpoint", "@modeldir", "@mode", "@use_tfrecord", "@tfrecord_root"),
    *("weights", "batch_size", "eval_batch_size"),
)
# What has no key of its own, and the key whose values it takes.
_COUNTS = {
    **dict.fromkeys(("@benchmark_steps", "@benchmark_warmup"), "max_steps"),
    **dict.fromkeys(("@first_evaluation",), "eval_every"),
    "@evaluation_interval": "max_steps",
}
_DALI = ("dali_workers", "input_jpg_decode", "hw_decoder_load", "input_batch_multiplier")
_TFRECORD_ROOT = "/datasets/coco2017/tfrecord"


@dataclass(frozen=True)
class Translation:
    """What a published command line means: ``arguments`` for gluon-ssd, and a sentence per idle option."""

    system: System
    arguments: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command, quoted for a shell."""
        return shlex.join(["gluon-ssd", *self.arguments])


@dataclass
class _Given:
    """What the command line said: recipe keys and other targets with their values, and who gave them."""

    values: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def one(self, target: str, default: str = "") -> str:
        return self.values[target][-1] if self.values.get(target) else default


class _Record(argparse.Action):
    """Puts (row, name as typed, values) on one list, since of two options the later wins."""

    def __init__(self, *, option: Option, **rest: Any) -> None:
        super().__init__(**rest)
        self.option = option

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        texts = [values] if isinstance(values, str) else list(values or [])
        namespace.found.append((self.option, option_string, texts))


def translate(argv: Sequence[str], system: str | None = None) -> Translation:
    """Return what ``argv`` means here. ``system``: whose options they are; None finds out.

    Raises UserError for an option that nobody has, a value that does not fit, and what cannot be done here.
    """
    chosen = pick_system(argv, system)
    parser = build_parser(chosen)
    namespace, extras = parser.parse_known_args(list(argv), argparse.Namespace(found=[]))
    if extras:
        parser.reject(extras)
    given = _Given()
    for option, name, texts in namespace.found:
        _apply(given, option, name, texts)
    return _finish(chosen, given)


def pick_system(argv: Sequence[str], name: str | None = None) -> System:
    """Return the system called ``name``; without one, the first of those that know most options of ``argv``.

    An option counts as known if its value is, too. Raises UserError for a name that is none.
    """
    known = {item.name: item for item in SYSTEMS}
    if name is None:
        return min(SYSTEMS, key=lambda system: _strangers(system, argv))
    if name not in known:
        raise unknown("system", name, known)
    return known[name]


def _strangers(system: System, argv: Sequence[str]) -> tuple[int, int]:
    """How many options nobody knows if ``system`` is meant, and how many at least the system does not."""
    published = {name: row for row in _rows(system.name) for name in row.names}
    nobodys = others = 0
    for text, following in zip(argv, [*argv[1:], ""]):
        if not _is_option(text):
            continue
        option, _, value = text.partition("=")
        row = published.get(option)
        if row is None:
            nobodys += option not in _own_rows()
        others += row is None or bool(row.values) and (value or following) not in dict(row.values)
    return nobodys, others


def build_parser(system: System) -> Parser:
    """Return the parser of one system's options and of ours; `--help` tells what each is here."""
    parser = Parser(
        prog="python -m gluon_ssd.main",
        usage="python -m gluon_ssd.main [--system NAME] [--dry-run] [OPTION ...]",
        description="Takes the options of published trainings and runs gluon-ssd. Systems: "
        + "; ".join(f"{item.name} ({item.about})" for item in SYSTEMS)
        + f". These are the options of {system.name} and what they are here; flags of gluon-ssd train work.",
        epilog=example(
            "python -m gluon_ssd.main --dry-run --warmup 300 --bs 64 --fp16 --data /coco",
            "python -m gluon_ssd.main --coco-root /datasets/coco2017 --lr=0.003157 --lr-warmup-epoch=5",
        ),
    )
    taken: set[str] = set()
    for row in _rows(system.name):
        taken.update(row.names)
        _add(parser, row, (f"= {_target_text(row)}" if row.target in _KEYS else row.why).replace("%", "%%"))
    for name, row in _own_rows().items():
        if name not in taken:
            _add(parser, row, argparse.SUPPRESS)
    return parser


def _add(parser: Parser, row: Option, help: str) -> None:
    arity = None if row.arity == 1 else row.arity
    options: dict[str, Any] = {"action": _Record, "option": row, "nargs": arity, "dest": "found"}
    options["help"] = help
    if row.arity != 0:
        options["metavar"] = "|".join(dict(row.values)) or "VALUE"
    parser.add_argument(*row.names, **options)


def _target_text(row: Option) -> str:
    flag = "--" + row.target.replace("_", "-")
    return f"{flag} {row.constant}" if row.constant not in ("", "true") else flag


def _rows(system: str) -> Iterable[Option]:
    return (row for row in OPTIONS if system in row.systems)


def _own_rows() -> dict[str, Option]:
    rows = {"--recipe": Option((), ("--recipe",), "@recipe")}
    for key, item in _KEYS.items():
        base = str(item.type).replace(" | None", "")
        arity: int | str = {"bool": 0}.get(base, "*" if base.startswith("tuple") else 1)
        name = "--" + key.replace("_", "-")
        rows[name] = Option((), (name,), key, arity, constant="true" if arity == 0 else "")
    return rows


def _is_option(text: str) -> bool:
    return text.startswith("-") and not text[1:2].isdigit() and text != "-"


def _apply(given: _Given, option: Option, name: str, texts: list[str]) -> None:
    """Note down one option. Raises UserError for a value that it cannot have."""
    texts = [option.constant] if option.arity == 0 else texts
    if option.values:
        table = dict(option.values)
        for text in texts:
            if text not in table:
                raise UserError(f"{name}: must be one of {', '.join(table)}, got {text!r}")
        texts = [table[text] for text in texts]
    if option.change:
        try:
            texts = [option.change(text) for text in texts]
        except ValueError:
            raise UserError(f"{name}: expected a number, got {' '.join(texts)!r}") from None
    if option.target in ("", "@nothing"):
        given.notes.append(f"{name}: not needed; {option.why}")
        return
    if option.target in _KEYS or option.target in _COUNTS:
        _check(_COUNTS.get(option.target, option.target), name, texts)
    given.values[option.target] = texts
    given.names[option.target] = name
    for key, text in option.also:
        given.values[key] = [text]


def _check(key: str, name: str, texts: list[str]) -> None:
    """Raise UserError, under the published name, for values that the recipe's key does not take."""
    kind, bounds = str(_KEYS[key].type), _KEYS[key].metadata["bounds"]
    if kind == "bool":
        return
    for text in texts:
        problem = convert_text(text, kind.replace("tuple[int, ...]", "int"), bounds)
        if isinstance(problem, UserError):
            raise UserError(f"{name}: {problem}")


def _finish(system: System, given: _Given) -> Translation:
    """Work out what depends on several options, and put the command together."""
    values = given.values
    recipe = given.one("@recipe", system.recipe)
    mode = given.one("@mode", "train")
    if mode == "inference":
        raise UserError("--mode benchmark-inference: not done here; see benchmarks/inference.py")
    for key, text in system.first_flags:
        values.setdefault(key, text.split())
    _set_model(given)
    _set_data(system, given)
    _set_limits(given, recipe)
    if any(key in values for key in _DALI):
        values.setdefault("data_pipeline", ["dali"])
    if float(given.one("hw_decoder_load", "0")) > 0 and given.one("input_jpg_decode", "gpu") == "gpu":
        values["input_jpg_decode"] = ["hw"]
    if "@modeldir" in values:
        if "@checkpoint" in values:
            given.notes.append("--modeldir: not needed beside --checkpoint")
        else:
            values["@checkpoint"], given.names["@checkpoint"] = values["@modeldir"], "--modeldir"
    if mode == "val":
        # As the published system scores: weights of elsewhere have no recipe that val could follow.
        kept = load_recipe(recipe).max_detections
        if kept != _KEYS["max_detections"].default:
            values.setdefault("max_detections", [str(kept)])
        # Those decide scores, as the system's own do; other defaults are a checkpoint's own matter.
        assumed = {key: text for key, text in system.first_flags if key != "nms_candidates"}
        arguments = _val_arguments(given, assumed)
    else:
        arguments = _train_arguments(recipe, mode, given)
    return Translation(system, tuple(arguments), tuple(given.notes))


def _set_model(given: _Given) -> None:
    values = given.values
    if given.one("@opt_level") == "O0":
        values["precision"] = ["fp32"]
    if given.one("precision") == "fp32":
        values.pop("dynamic_loss_scale", None)
    if given.one("@pretrained"):
        values["pretrained_backbone"] = values["@pretrained"]
    elif "@pretrained" in values:
        given.notes.append("--pretrained: not needed; give the file: --pretrained-backbone FILE")


def _set_limits(given: _Given, recipe: str) -> None:
    """Epochs and evaluations of so many batches, by images; and epochs that start late."""
    values, ranks = given.values, detect().size
    for target, key, size in (
        ("@epoch_batches", "limit_train", "batch_size"),
        ("@eval_batches", "limit_val", "eval_batch_size"),
    ):
        batches = int(given.one(target, "-1"))
        if batches > 0:
            images = given.one(size) or given.one("batch_size") or str(getattr(load_recipe(recipe), size))
            values[key], given.names[key] = [str(batches * int(images) * ranks)], given.names[target]
    if "@first_evaluation" in values and "target_map" in values:
        first, every = int(given.one("@first_evaluation")), int(given.one("@evaluation_interval", "1"))
        epochs = int(given.one("epochs") or load_recipe(recipe).epochs)
        values["eval_epochs"] = [str(epoch + 1) for epoch in range(first, epochs, every)]
    if "@skip_eval" in values:
        values["eval_epochs"] = []


def _set_data(system: System, given: _Given) -> None:
    values = given.values
    if "@synthetic" in values and given.one("@synthetic", "1") != "0":
        values["data_pipeline"] = ["synthetic"]
    if "@use_tfrecord" in values:
        values["data"] = [given.one("@tfrecord_root", _TFRECORD_ROOT)]
        return
    if "@tfrecord_root" in values:
        given.notes.append("--tfrecord-root: not used without --use-tfrecord")
    if system.data and given.one("data_pipeline") != "synthetic":
        values.setdefault("data", [system.data])


def _train_arguments(recipe: str, mode: str, given: _Given) -> list[str]:
    values = given.values
    if "@checkpoint" in values:
        values["weights"] = values["@checkpoint"]
        given.notes.append(
            f"{given.names['@checkpoint']}: training starts from its weights; "
            "to go on with optimizer and epoch as well: --resume --output RUN"
        )
    if "@save" in values:
        values.setdefault("output", values["@save"])
        values.setdefault("save_every", ["1"])
    counted = [name for key, name in given.names.items() if key.startswith("@benchmark")]
    if mode == "benchmark":
        steps = int(given.one("@benchmark_steps", "20")) + int(given.one("@benchmark_warmup", "20"))
        values.update(max_steps=[str(steps)], eval_every=["0"], eval_epochs=[])
    elif mode == "train-only":
        values.update(eval_every=["0"], eval_epochs=[])
    elif "eval_every" in values and "eval_epochs" in values:
        _join_evaluations(recipe, given)
    if mode != "benchmark":
        given.notes += [f"{name}: not used without --mode benchmark-training" for name in counted]
    arguments = ["train", "--recipe", recipe]
    for key in _KEYS:
        if key in values:
            flag = "--" + key.replace("_", "-")
            arguments += [flag] if str(_KEYS[key].type) == "bool" else [flag, *values[key]]
    return arguments


def _join_evaluations(recipe: str, given: _Given) -> None:
    """An interval and a list of epochs together, as ssd_main.py takes them."""
    every = int(given.one("eval_every"))
    last = int(given.one("epochs", str(load_recipe(recipe).epochs)))
    wanted = {int(text) for text in given.values["eval_epochs"]}
    wanted.update(range(every, last + 1, every) if every else ())
    given.values["eval_epochs"] = [str(epoch) for epoch in sorted(wanted)]
    del given.values["eval_every"]


def _val_arguments(given: _Given, assumed: dict[str, str]) -> list[str]:
    checkpoint = given.one("@checkpoint") or given.one("weights")
    if not checkpoint:
        raise UserError("an evaluation needs a checkpoint: --checkpoint FILE (or a run folder)")
    arguments = ["val", checkpoint]
    size = given.one("eval_batch_size") or given.one("batch_size")
    if size:
        arguments += ["--batch-size", size]
    if given.one("precision") == "amp":
        del given.values["precision"]
        name = given.names.pop("precision", None)
        given.notes += [f"{name}: an evaluation computes as the checkpoint was trained"] if name else []
    for key, flag in _IN_VAL.items():
        if key in given.values and (key in given.names or key not in assumed):
            arguments += [flag, *given.values[key]]
    for key, name in given.names.items():
        if key not in _IN_VAL and key not in _TAKEN_BY_VAL:
            given.notes.append(f"{name}: plays no part in an evaluation")
    return arguments
