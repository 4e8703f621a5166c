"""What the options of a published command line, taken together, are as arguments of ``gluon-ssd``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from ..errors import UserError
from ..launch import detect
from ..recipe import SCALED, Recipe, load_recipe
from .table import System

KEYS = {item.name: item for item in fields(Recipe)}
# The keys that val understands, and its flags for them; an evaluation has no use for the rest of a recipe.
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
_DALI = ("dali_workers", "input_jpg_decode", "hw_decoder_load", "input_batch_multiplier")
_TFRECORD_ROOT = "/datasets/coco2017/tfrecord"


@dataclass
class Given:
    """What the command line said: recipe keys and other targets, their values, and the options' names."""

    values: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def one(self, target: str, default: str = "") -> str:
        """Returns the last value of a target, or ``default`` where it was not given."""
        return self.values[target][-1] if self.values.get(target) else default


def arguments_of(system: System, given: Given) -> list[str]:
    """Returns the arguments of ``gluon-ssd``; what depends on several options is worked out here."""
    values = given.values
    recipe = given.one("@recipe", system.recipe)
    mode = given.one("@mode", "train")
    if mode == "inference":
        _set_inference(given)
    for key, text in system.first_flags:
        values.setdefault(key, text.split())
    _set_model(given)
    _set_data(system, given)
    _set_limits(system, given, recipe)
    if any(key in values for key in _DALI):
        values.setdefault("data_pipeline", ["dali"])
    # A load for the hardware decoder says that it is to be used.
    if float(given.one("hw_decoder_load", "0")) > 0 and given.one("input_jpg_decode", "gpu") == "gpu":
        values["input_jpg_decode"] = ["hw"]
    if "@modeldir" in values:
        if "@checkpoint" in values:
            given.notes.append("--modeldir: not needed beside --checkpoint")
        else:
            values["@checkpoint"], given.names["@checkpoint"] = values["@modeldir"], "--modeldir"
    if mode in ("val", "inference"):
        # Scores have to be those of the published system, and weights from elsewhere bring no recipe that val
        # could follow.
        kept = load_recipe(recipe).max_detections
        if kept != KEYS["max_detections"].default:
            values.setdefault("max_detections", [str(kept)])
        # The number of candidates decides scores, so it is passed on; other defaults of the system are a
        # checkpoint's own matter.
        assumed = {key: text for key, text in system.first_flags if key != "nms_candidates"}
        return _val_arguments(given, assumed)
    return _train_arguments(recipe, mode, given)


def _set_inference(given: Given) -> None:
    """Turns a benchmark of inference into an evaluation of made-up images, which tells its speed."""
    values = given.values
    steps = int(given.one("@benchmark_steps", "20")) + int(given.one("@benchmark_warmup", "20"))
    size = int(given.one("eval_batch_size") or given.one("batch_size") or "32")
    values.update(data_pipeline=["synthetic"], limit_val=[str(steps * size)])
    given.names.update(data_pipeline="--mode", limit_val="--mode")
    values.pop("data", None)
    # These have taken effect, so that no note may call them unused.
    for key in ("data", "@benchmark_steps", "@benchmark_warmup"):
        given.names.pop(key, None)


def _set_model(given: Given) -> None:
    """Settles precision and pretrained weights."""
    values = given.values
    if given.one("@opt_level") == "O0":
        values["precision"] = ["fp32"]
    if given.one("precision") == "amp":
        # All systems with these options do so: float32 weights, and a loss scale that finds itself.
        values.setdefault("dynamic_loss_scale", ["true"])
    if given.one("@pretrained"):
        values["pretrained_backbone"] = values["@pretrained"]
    elif "@pretrained" in values:
        given.notes.append("--pretrained: not needed; give the file: --pretrained-backbone FILE")


def _set_limits(system: System, given: Given, recipe: str) -> None:
    """Settles what is given in batches, evaluations that start late, and profiling."""
    values, ranks = given.values, detect().size
    for target, key, size in (
        ("@epoch_batches", "limit_train", "batch_size"),
        ("@eval_batches", "limit_val", "eval_batch_size"),
    ):
        batches = int(given.one(target, "-1"))
        if batches > 0:
            images = given.one(size) or given.one("batch_size") or str(getattr(load_recipe(recipe), size))
            # A recipe counts images of all processes together, these options count batches of each process.
            values[key], given.names[key] = [str(batches * int(images) * ranks)], given.names.pop(target)
    # The sample evaluates during training only when it has a target to reach.
    if "@first_evaluation" in values and "target_map" in values:
        first, every = int(given.one("@first_evaluation")), int(given.one("@evaluation_interval", "1"))
        epochs = int(given.one("epochs") or load_recipe(recipe).epochs)
        values["eval_epochs"] = [str(epoch + 1) for epoch in range(first, epochs, every)]
    first, last = (int(given.one(f"@profile_{end}", "-1")) for end in ("first", "last"))
    if first > 0 and last > 0:
        values["profile"] = [str(first), str(last)]
    if system.name == "ssd_main" and last > 0:
        # NVIDIA's ssd_main.py ends with the profile.
        values["max_steps"] = [str(last)]
    if "@skip_eval" in values:
        values["eval_epochs"] = []


def _set_data(system: System, given: Given) -> None:
    """Settles where the images come from."""
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


def _train_arguments(recipe: str, mode: str, given: Given) -> list[str]:
    """The arguments of ``gluon-ssd train``."""
    values = given.values
    if "@checkpoint" in values:
        values["weights"] = values["@checkpoint"]
        given.notes.append(
            f"{given.names['@checkpoint']}: training starts from its weights; "
            "to go on with optimizer and epoch as well: --resume --output RUN"
        )
    if "@save" in values:
        values.setdefault("output", values["@save"])
        # --save keeps a checkpoint of every epoch.
        values.setdefault("save_every", ["1"])
    counted = [name for key, name in given.names.items() if key.startswith("@benchmark")]
    if mode == "benchmark":
        steps = int(given.one("@benchmark_steps", "20")) + int(given.one("@benchmark_warmup", "20"))
        values.update(max_steps=[str(steps)], eval_every=["0"], eval_epochs=[])
    elif mode == "train-only":
        values.update(eval_every=["0"], eval_epochs=[])
    elif "eval_every" in values and "eval_epochs" in values:
        _join_evaluations(recipe, given)
    _keep_schedule(recipe, given)
    if mode != "benchmark":
        given.notes += [f"{name}: not used without --mode benchmark-training" for name in counted]
    arguments = ["train", "--recipe", recipe]
    for key in KEYS:
        if key in values:
            flag = "--" + key.replace("_", "-")
            arguments += [flag] if str(KEYS[key].type) == "bool" else [flag, *values[key]]
    return arguments


def _keep_schedule(recipe: str, given: Given) -> None:
    """The published systems decay, warm up and evaluate at the same epochs, however many they train."""
    ours = load_recipe(recipe)
    if "epochs" in given.values:
        scaled = ours.override({"epochs": int(given.one("epochs"))})
        for key in SCALED:
            value = getattr(ours, key)
            if getattr(scaled, key) != value:
                words = value if isinstance(value, tuple) else (value,)
                given.values.setdefault(key, [str(word) for word in words])


def _join_evaluations(recipe: str, given: Given) -> None:
    """Joins an interval and a list of epochs into one list, because ssd_main.py evaluates after both."""
    every = int(given.one("eval_every"))
    last = int(given.one("epochs", str(load_recipe(recipe).epochs)))
    wanted = {int(text) for text in given.values["eval_epochs"]}
    wanted.update(range(every, last + 1, every) if every else ())
    given.values["eval_epochs"] = [str(epoch) for epoch in sorted(wanted)]
    del given.values["eval_every"]


def _val_arguments(given: Given, assumed: dict[str, str]) -> list[str]:
    """The arguments of ``gluon-ssd val``. Raises UserError without a checkpoint."""
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
    # Said of each option by name, so that nobody takes it to have had an effect.
    for key, name in given.names.items():
        if key not in _IN_VAL and key not in _TAKEN_BY_VAL:
            given.notes.append(f"{name}: plays no part in an evaluation")
    return arguments
