"""Options of DeepLearningExamples' `main.py`, and of the two trainings made from it.

``dle`` is DeepLearningExamples, ``dali`` is DALI's single-shot example, and ``sample`` is the SSD_ResNet50
sample of Cambricon's model zoo. Names that two of them give the same meaning are one row.
"""

from __future__ import annotations

from .table import (
    RANK,
    TF32,
    System,
    counted_from_one,
    idle,
    percent,
    row,
    seed,
    whole,
)

SYSTEMS = (
    System(
        "dle",
        "DeepLearningExamples",
        "ssd_resnet50/dle",
        (
            ("precision", "amp"),
            ("layout", "NHWC"),
            ("warmup_steps", "0"),
        ),
    ),
    System(
        "dali",
        "DALI's example",
        "ssd_resnet50/dle",
        (
            ("precision", "amp"),
            ("data_pipeline", "dali"),
            ("colour", "dali"),
            ("warmup_steps", "0"),
            ("eval_epochs", "4 22 32 38 43 49 54 60 65"),
        ),
    ),
    System(
        "sample",
        "the SSD_ResNet50 sample",
        "ssd_resnet50/dle",
        (("warmup_steps", "0"), ("eval_epochs", "")),
    ),
)

_ALL, _OWN = "dle dali sample", "dle sample"
_LAYOUTS = (("channels_first", "NCHW"), ("channels_last", "NHWC"))
_BACKBONES = (
    ("resnet18", "ssd_resnet18/dle"),
    ("resnet34", "ssd_resnet34_bn/dle"),
    ("resnet50", "ssd_resnet50/dle"),
    ("resnet101", "ssd_resnet101/dle"),
    ("resnet152", "ssd_resnet152/dle"),
)
_MODES = (
    ("training", "train"),
    ("evaluation", "val"),
    ("benchmark-training", "benchmark"),
    ("benchmark-inference", "inference"),
)
_DEVICES = tuple((name, "gpu") for name in ("MLU", "mlu", "GPU", "gpu")) + (("CPU", "cpu"), ("cpu", "cpu"))

_LEVELS = tuple((name, name) for name in ("O0", "O1", "O2", "O3"))

OPTIONS = (
    row(_ALL, "--data -d", "data"),
    row(_ALL, "--epochs -e", "epochs"),
    row(_ALL, "--batch-size -b --bs", "batch_size"),
    row(_ALL, "--eval-batch-size --ebs", "eval_batch_size"),
    row(_ALL, "--seed -s", "seed", change=seed),
    row(_ALL, "--learning-rate --lr", "lr"),
    row(_ALL, "--momentum -m", "momentum"),
    row(_ALL, "--weight-decay --wd", "weight_decay"),
    row(_ALL, "--evaluation", "eval_epochs", "*", change=counted_from_one),
    row(_ALL, "--multistep", "decay_epochs", "*"),
    row(_ALL, "--warmup", "warmup_steps"),
    row(_ALL, "--backbone", "@recipe", values=_BACKBONES),
    row(_ALL, "--num-workers", "workers"),
    idle(_ALL, "--local_rank --local-rank", 1, RANK),
    row(_OWN, "--backbone-path", "pretrained_backbone"),
    row(_OWN, "--checkpoint", "@checkpoint"),
    row(_OWN, "--save", "@save"),
    row(_OWN, "--mode", "@mode", values=_MODES),
    row(_OWN, "--benchmark-iterations", "@benchmark_steps"),
    row(_OWN, "--benchmark-warmup", "@benchmark_warmup"),
    row(_OWN, "--json-summary", "json_summary"),
    row("dle", "--log-interval", "log_every"),
    row("dle", "--amp", "precision", 0, constant="amp"),
    row("dle", "--no-amp", "precision", 0, constant="fp32"),
    row("dle", "--data-layout", "layout", values=_LAYOUTS),
    row("dle", "--no-cuda", "device", 0, constant="cpu"),
    idle("dle", "--allow-tf32 --no-allow-tf32", 0, TF32),
    idle(
        "dle",
        "--torchvision-weights-version",
        1,
        "the weights are those of the file given to --backbone-path",
    ),
    row("dali", "--fp16-mode --fp16", "precision", 0, constant="amp"),
    row("dali", "--data_pipeline", "data_pipeline", values=(("dali", "dali"), ("no_dali", "native"))),
    row("dali", "--target", "target_map", change=percent),
    row("sample", "--pyamp --cnmix", "precision", 0, constant="amp"),
    row("sample", "--opt_level", "@opt_level", values=_LEVELS),
    idle("sample", "--max_bitwidth", 0, "there is no fixed-point arithmetic here"),
    row("sample", "--no-mlu", "device", 0, constant="cpu"),
    row("sample", "--device", "device", values=_DEVICES),
    row("sample", "--data-backend", "data_pipeline", values=(("pytorch", "native"), ("dali-mlu", "dali"))),
    row("sample", "--iterations", "@epoch_batches", change=whole),
    row("sample", "--eval_iters", "@eval_batches", change=whole),
    row("sample", "--start_eval_at", "@first_evaluation"),
    row("sample", "--evaluate_every --eval_every", "@evaluation_interval"),
    row("sample", "--target_map", "target_map", change=percent),
    row("sample", "--modeldir", "@modeldir"),
    row("sample", "--input_data_type", "precision", values=(("float32", "fp32"), ("float16", "fp16"))),
)
