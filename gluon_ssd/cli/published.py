"""From the command lines of the published trainings to ``gluon-ssd train`` and ``gluon-ssd val``.

The options are the rows of `aliases.ALIASES`. Flags of ``gluon-ssd train`` that are no published option are
taken as they are, so that whatever a recipe knows can be added to a published command.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, field, fields
from typing import Any, Iterable, Sequence

from ..errors import UserError, unknown
from ..recipe import Recipe, load_recipe
from ..values import convert_text
from .aliases import ALIASES, SYSTEMS, Alias, System
from .parsing import Parser, example

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

    def __init__(self, *, alias: Alias, **rest: Any) -> None:
        super().__init__(**rest)
        self.alias = alias

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        texts = [values] if isinstance(values, str) else list(values or [])
        namespace.found.append((self.alias, option_string, texts))


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
    for alias, name, texts in namespace.found:
        _apply(given, alias, name, texts)
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
        if row is None or (row.values and (value or following) not in dict(row.values)):
            others += 1
            nobodys += option not in _own_rows()
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


def _add(parser: Parser, row: Alias, help: str) -> None:
    arity = None if row.arity == 1 else row.arity
    options: dict[str, Any] = {"action": _Record, "alias": row, "nargs": arity, "dest": "found", "help": help}
    if row.arity != 0:
        options["metavar"] = "|".join(dict(row.values)) or "VALUE"
    parser.add_argument(*row.names, **options)


def _target_text(row: Alias) -> str:
    flag = "--" + row.target.replace("_", "-")
    return f"{flag} {row.constant}" if row.constant not in ("", "true") else flag


def _rows(system: str) -> Iterable[Alias]:
    return (row for row in ALIASES if system in row.systems)


def _own_rows() -> dict[str, Alias]:
    rows = {"--recipe": Alias((), ("--recipe",), "@recipe")}
    for key, item in _KEYS.items():
        base = str(item.type).replace(" | None", "")
        arity: int | str = {"bool": 0}.get(base, "*" if base.startswith("tuple") else 1)
        name = "--" + key.replace("_", "-")
        rows[name] = Alias((), (name,), key, arity, constant="true" if arity == 0 else "")
    return rows


def _is_option(text: str) -> bool:
    return text.startswith("-") and not text[1:2].isdigit() and text != "-"


def _apply(given: _Given, alias: Alias, name: str, texts: list[str]) -> None:
    """Note down one option. Raises UserError for a value that it cannot have."""
    texts = [alias.constant] if alias.arity == 0 else texts
    if alias.values:
        table = dict(alias.values)
        for text in texts:
            if text not in table:
                raise UserError(f"{name}: must be one of {', '.join(table)}, got {text!r}")
        texts = [table[text] for text in texts]
    if alias.change:
        try:
            texts = [alias.change(text) for text in texts]
        except ValueError:
            raise UserError(f"{name}: expected a number, got {' '.join(texts)!r}") from None
    if alias.target in ("", "@nothing"):
        given.notes.append(f"{name}: not needed; {alias.why}")
        return
    if alias.target in _KEYS or alias.target.startswith("@benchmark"):
        _check(alias.target if alias.target in _KEYS else "max_steps", name, texts)
    given.values[alias.target] = texts
    given.names[alias.target] = name


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
        values.setdefault(key, [text])
    _set_data(system, given)
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
        arguments = _val_arguments(given, dict(system.first_flags))
    else:
        arguments = _train_arguments(recipe, mode, given)
    return Translation(system, tuple(arguments), tuple(given.notes))


def _set_data(system: System, given: _Given) -> None:
    values = given.values
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
