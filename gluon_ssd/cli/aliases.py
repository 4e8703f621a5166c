"""The published trainings' options and what they are called here: one table, a row per option.

Three command lines. ``dle``: `main.py` of DeepLearningExamples, of DALI's example, and of the SSD_ResNet50
sample made from it. ``ssd_main``: `ssd_main.py` of NVIDIA's and Fujitsu's MXNet submissions to MLPerf.
``retinanet``: `train.py` of MLPerf's RetinaNet, the reference and NVIDIA's. `published.translate` applies the
rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Tuple

Pairs = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class System:
    """One published command line: the recipe with its defaults, its other defaults, where its data is.

    ``first_flags`` are recipe keys with their values, which options replace.
    """

    name: str
    about: str
    recipe: str
    first_flags: Pairs = ()
    data: str | None = None


@dataclass(frozen=True)
class Alias:
    """One option: its names, how many values follow it, and what becomes of them.

    ``target``: a recipe's key; or, after "@", what `published` works out together with other options; or
    empty: nothing, and ``why`` tells the user the reason. ``arity``: number of values, "*" for any.
    ``constant`` is what a switch stands for; ``values`` maps the values an option may have to ours;
    ``change`` computes ours.
    """

    systems: tuple[str, ...]
    names: tuple[str, ...]
    target: str
    arity: int | str = 1
    constant: str = ""
    values: Pairs = ()
    change: Callable[[str], str] | None = None
    why: str = ""


def percent(text: str) -> str:
    """A mAP as a share: 23 and 0.23 are both 0.23. Raises ValueError for what is no number."""
    number = float(text)
    return f"{number / 100 if number > 1 else number:.6g}"


def counted_from_one(text: str) -> str:
    """An epoch counted from 0 as one counted from 1; what is none stays, for the recipe's check to name."""
    return str(int(text) + 1) if text.isdecimal() else text


def all_as_most(text: str) -> str:
    """A number of detections where -1 is all: the candidates that the detector takes into account."""
    return "1000" if int(text) < 0 else text


SYSTEMS = (
    System(
        "dle",
        "DeepLearningExamples, DALI's example, SSD_ResNet50",
        "ssd_resnet50/dle",
        (("warmup_steps", "0"),),
    ),
    System(
        "ssd_main", "NVIDIA's and Fujitsu's MXNet SSD", "ssd_resnet34/mlperf_fp16", (), "/datasets/coco2017"
    ),
    System(
        "retinanet",
        "MLPerf's RetinaNet",
        "retinanet_resnext50_32x4d/mlperf",
        (("precision", "amp"), ("layout", "NHWC")),
        "/datasets/open-images-v6",
    ),
)

_FUSED = "fused operators are used where this MXNet has them; the result is the same"
_PROFILE = "no profiler is started here"
_RANK = "Horovod knows the rank"
_SIZES = "counted in the annotation file"
_TORCH = "an option of PyTorch's implementation; nothing corresponds to it in MXNet"


def _row(systems: str, names: str, target: str, arity: int | str = 1, **rest: Any) -> Alias:
    return Alias(tuple(systems.split()), tuple(names.split()), target, arity, **rest)


def _no(systems: str, names: str, arity: int | str, why: str) -> Alias:
    return _row(systems, names, "", arity, why=why)


_ALL = "dle ssd_main retinanet"
_LAYOUTS = (("channels_first", "NCHW"), ("channels_last", "NHWC"))

ALIASES = (
    # What several of them have.
    _row("dle", "--epochs -e", "epochs"),
    _row("ssd_main retinanet", "--epochs", "epochs"),
    _row("dle retinanet", "--batch-size -b --bs", "batch_size"),
    _row("ssd_main", "--batch-size", "batch_size"),
    _row("dle", "--eval-batch-size --ebs", "eval_batch_size"),
    _row("ssd_main", "--eval-batch-size", "eval_batch_size"),
    _row("retinanet", "--eval-batch-size -e", "eval_batch_size"),
    _row("dle retinanet", "--seed -s", "seed"),
    _row("ssd_main", "--seed", "seed"),
    _row("dle", "--learning-rate --lr", "lr"),
    _row("ssd_main retinanet", "--lr", "lr"),
    _row("dle", "--momentum -m", "momentum"),
    _row("ssd_main", "--momentum", "momentum"),
    _row("dle", "--weight-decay --wd", "weight_decay"),
    _row("ssd_main", "--weight-decay", "weight_decay"),
    _row("dle ssd_main", "--log-interval", "log_every"),
    _row("dle retinanet", "--amp", "precision", 0, constant="amp"),
    _row("dle retinanet", "--no-amp", "precision", 0, constant="fp32"),
    _row("dle retinanet", "--data-layout", "layout", values=_LAYOUTS),
    _no(_ALL, "--local_rank --local-rank", 1, _RANK),
    # DeepLearningExamples, DALI's example and the SSD_ResNet50 sample.
    _row("dle", "--data -d", "data"),
    _row("dle", "--evaluation", "eval_epochs", "*", change=counted_from_one),
    _row("dle", "--multistep", "decay_epochs", "*"),
    _row("dle", "--warmup", "warmup_steps"),
    _row(
        "dle",
        "--backbone",
        "@recipe",
        values=(
            ("resnet18", "ssd_resnet18/dle"),
            ("resnet34", "ssd_resnet34_bn/dle"),
            ("resnet50", "ssd_resnet50/dle"),
            ("resnet101", "ssd_resnet101/dle"),
            ("resnet152", "ssd_resnet152/dle"),
        ),
    ),
    _row("dle", "--backbone-path", "pretrained_backbone"),
    _row("dle", "--num-workers", "workers"),
    _row("dle", "--fp16 --fp16-mode", "precision", 0, constant="fp16"),
    _row("dle", "--input_data_type", "precision", values=(("float32", "fp32"), ("float16", "fp16"))),
    _row("dle", "--data_pipeline", "data_pipeline", values=(("dali", "dali"), ("no_dali", "native"))),
    _row("dle", "--checkpoint", "@checkpoint"),
    _row("dle", "--modeldir", "@modeldir"),
    _row("dle", "--save", "@save"),
    _row(
        "dle",
        "--mode",
        "@mode",
        values=(
            ("training", "train"),
            ("evaluation", "val"),
            ("benchmark-training", "benchmark"),
            ("benchmark-inference", "inference"),
        ),
    ),
    _row("dle", "--benchmark-iterations", "@benchmark_steps"),
    _row("dle", "--benchmark-warmup", "@benchmark_warmup"),
    _row("dle", "--target", "target_map", change=percent),
    _row("dle", "--no-cuda", "device", 0, constant="cpu"),
    _no("dle", "--json-summary", 1, "the numbers are in metrics.csv of the run folder"),
    _no("dle", "--allow-tf32", 0, "MXNet multiplies in float32 or, with --amp, in half precision"),
    _no("dle", "--no-allow-tf32", 0, "MXNet multiplies in float32 or, with --amp, in half precision"),
    _no(
        "dle",
        "--torchvision-weights-version",
        1,
        "the weights are those of the file given to --backbone-path",
    ),
    # NVIDIA's and Fujitsu's MXNet SSD.
    _row(
        "ssd_main",
        "--mode",
        "@mode",
        values=(("train_val", "train"), ("train", "train-only"), ("val", "val")),
    ),
    _row("ssd_main", "--backbone", "model", values=(("resnet34_mlperf", "ssd_resnet34"),)),
    _row("ssd_main", "--bn-group", "bn_group"),
    _row("ssd_main", "--bn-fp16", "bn_fp16", 0, constant="true"),
    _no("ssd_main", "--no-fuse-bn-add-relu", 0, _FUSED),
    _no("ssd_main", "--no-fuse-bn-relu", 0, _FUSED),
    _row("ssd_main", "--precision", "precision", values=(("fp32", "fp32"), ("fp16", "fp16"), ("amp", "amp"))),
    _row("ssd_main", "--fp16-loss-scale", "loss_scale"),
    _row("ssd_main", "--dataset", "@nothing", values=(("coco2017", "coco2017"),), why=_SIZES),
    _row("ssd_main retinanet", "--synthetic --syn-dataset", "data_pipeline", 0, constant="synthetic"),
    _row("ssd_main", "--use-tfrecord", "@use_tfrecord", 0, constant="true"),
    _row("ssd_main", "--coco-root", "data"),
    _row("ssd_main", "--tfrecord-root", "@tfrecord_root"),
    _no("ssd_main", "--dataset-size", 1, _SIZES),
    _no("ssd_main", "--eval-dataset-size", 1, _SIZES),
    _row(
        "ssd_main",
        "--input-jpg-decode",
        "input_jpg_decode",
        values=(("cpu", "cpu"), ("gpu", "gpu"), ("cache", "cache")),
    ),
    _row("ssd_main", "--hw-decoder-load", "hw_decoder_load"),
    _row("ssd_main", "--data-shape", "@nothing", values=(("300", "300"),), why="SSD300 has no other size"),
    _row(
        "ssd_main",
        "--data-layout",
        "layout",
        values=(("NHWC", "NHWC"), ("NCHW", "NCHW"), ("nhwc", "NHWC"), ("nchw", "NCHW")),
    ),
    _row("ssd_main", "--input-batch-multiplier", "input_batch_multiplier"),
    _row("ssd_main", "--dali-workers -j", "dali_workers"),
    _row("ssd_main", "--pretrained-backbone", "pretrained_backbone"),
    _no(
        "ssd_main",
        "--gradient-predivide-factor",
        1,
        "it splits the averaging in two; the average is the same",
    ),
    _row("ssd_main", "--horovod-num-groups", "num_groups"),
    _row("ssd_main", "--resume-from", "@checkpoint"),
    _row("ssd_main", "--start-epoch", "@nothing", values=(("1", "1"),), why="a run starts with epoch 1"),
    _row("ssd_main", "--lr-decay-factor", "decay_factor"),
    _row("ssd_main", "--lr-decay-epochs", "decay_epochs", "*"),
    _row("ssd_main", "--lr-warmup-epochs --lr-warmup-epoch", "warmup_epochs"),
    _row("ssd_main", "--lr-warmup-factor", "warmup_factor"),
    _row("ssd_main", "--save-interval", "save_every"),
    _row("ssd_main", "--async-val", "async_val", 0, constant="true"),
    _row("ssd_main", "--val-interval", "eval_every"),
    _row("ssd_main", "--val-epochs", "eval_epochs", "*"),
    _row("ssd_main", "--target-map -t", "target_map", change=percent),
    _no("ssd_main", "--cocoapi-threads", 1, "pycocotools scores in one thread"),
    _row("ssd_main", "--nms-valid-thresh", "score_threshold"),
    _row("ssd_main", "--nms-overlap-thresh", "iou_threshold"),
    _row("ssd_main", "--nms-topk", "@nothing", values=(("200", "200"),), why="it is what the detector does"),
    _row("ssd_main", "--post-nms", "max_detections", change=all_as_most),
    _no("ssd_main", "--bulk-last-wgrad", 0, "MXNet groups operators itself; the result is the same"),
    _row("ssd_main", "--results", "output"),
    _no("ssd_main", "--log-level", 1, "train.log holds all there is to tell"),
    _no("ssd_main", "--log-local-ranks", "*", "rank 0 writes the log"),
    _no("ssd_main", "--profile-no-horovod", 0, "one process does without Horovod in any case"),
    _no("ssd_main", "--profile-start", 1, _PROFILE),
    _row("ssd_main", "--profile-stop", "max_steps"),
    _no("ssd_main", "--test-initialization", 0, "gluon-ssd doctor checks a network"),
    _no("ssd_main", "--test-anchors", 0, "gluon-ssd models ssd_resnet34 describes the network"),
    # MLPerf's RetinaNet, the reference and NVIDIA's.
    _row("retinanet", "--dataset-path", "data"),
    _row("retinanet", "--dataset", "@nothing", values=(("openimages-mlperf", ""), ("coco", "")), why=_SIZES),
    _row(
        "retinanet",
        "--backbone",
        "@recipe",
        values=(
            ("resnext50_32x4d", "retinanet_resnext50_32x4d/mlperf"),
            ("resnet50", "retinanet_resnet50/torchvision"),
        ),
    ),
    _row("retinanet", "--trainable-backbone-layers", "trainable_layers"),
    _row("retinanet", "--image-size", "input_size", 2),
    _row("retinanet", "--data-augmentation", "augment", values=(("hflip", "flip"),)),
    _row("retinanet", "--print-freq", "log_every"),
    _row("retinanet", "--output-dir", "output"),
    _row("retinanet", "--target-map", "target_map", change=percent),
    _row("retinanet", "--resume", "@checkpoint"),
    _row("retinanet", "--test-only", "@mode", 0, constant="val"),
    _row("retinanet", "--warmup-epochs", "warmup_epochs"),
    _row("retinanet", "--warmup-factor", "warmup_start"),
    _row("retinanet", "--workers -j", "workers"),
    _row("retinanet", "--device", "device", values=(("cuda", "gpu"), ("cpu", "cpu"))),
    _row("retinanet", "--async-coco", "async_val", 0, constant="true"),
    _row("retinanet", "--fp16-allreduce", "compression", 0, constant="fp16"),
    _row("retinanet", "--dali", "data_pipeline", 0, constant="dali"),
    _row("retinanet", "--dali-cpu-decode", "input_jpg_decode", 0, constant="cpu"),
    _row("retinanet", "--dali-decoder-hw-load", "hw_decoder_load"),
    _row("retinanet", "--dali-input-batch-multiplier", "input_batch_multiplier"),
    _no("retinanet", "--dali-eval", 0, "evaluation reads as training does"),
    _no("retinanet", "--dali-matched-idxs", 0, "the loader's threads match boxes to anchors"),
    _no("retinanet", "--pretrained", 0, "give the file: --pretrained-backbone FILE"),
    _no("retinanet", "--coco-threads", 1, "pycocotools scores in one thread"),
    _no("retinanet", "--eval-print-freq", 1, "evaluation shows its progress"),
    _no("retinanet", "--frozen-bn-opt --frozen-bn-fp16", 0, "frozen norms are a scale and a shift here, too"),
    _no("retinanet", "--master-weights", 0, "weights are kept in float32 with --amp"),
    _no(
        "retinanet",
        "--apex-adam --apex-focal-loss",
        0,
        "MXNet's own Adam and this library's focal loss are used",
    ),
    _no("retinanet", "--apex-backbone-fusion --apex-head-fusion", 0, _FUSED),
    _no("retinanet", "--reg-head-pad --cls-head-pad", 0, _TORCH),
    _no(
        "retinanet",
        "--cuda-graphs --cuda-graphs-eval --cuda-graphs-syn",
        0,
        "MXNet compiles the network as one graph",
    ),
    _no("retinanet", "--jit --cudnn-bench --sync-after-graph-replay", 0, _TORCH),
    _no("retinanet", "--disable-ddp-broadcast-buffers --skip-metric-loss", 0, _TORCH),
    _no("retinanet", "--world-size --dist-url", 1, "Horovod knows the processes"),
)
