"""Options of `ssd_main.py`, NVIDIA's and Fujitsu's MXNet SSD of MLPerf v1.0 and v1.1."""

from __future__ import annotations

from .table import FUSED, RANK, SIZES, System, all_as_most, idle, percent, row, seed, whole

SYSTEMS = (
    System(
        "ssd_main",
        "NVIDIA's and Fujitsu's MXNet SSD",
        "ssd_resnet34/mlperf_fp16",
        (("colour", "dali"), ("nms_candidates", "200"), ("eval_every", "5")),
        "/datasets/coco2017",
    ),
)

_S = "ssd_main"
_MODES = (("train_val", "train"), ("train", "train-only"), ("val", "val"), ("infer", "val"))
_PRECISIONS = tuple((name, name) for name in ("fp32", "fp16", "amp"))
_DECODERS = tuple((name, name) for name in ("cpu", "gpu", "cache", "hw"))
_LAYOUTS = (("NHWC", "NHWC"), ("NCHW", "NCHW"), ("nhwc", "NHWC"), ("nchw", "NCHW"))

OPTIONS = (
    row(_S, "--epochs", "epochs"),
    row(_S, "--batch-size", "batch_size"),
    row(_S, "--eval-batch-size", "eval_batch_size"),
    row(_S, "--seed", "seed", change=seed),
    row(_S, "--lr", "lr"),
    row(_S, "--momentum", "momentum"),
    row(_S, "--weight-decay", "weight_decay"),
    row(_S, "--log-interval", "log_every"),
    idle(_S, "--local_rank --local-rank", 1, RANK),
    row(_S, "--mode", "@mode", values=_MODES),
    row(_S, "--backbone", "model", values=(("resnet34_mlperf", "ssd_resnet34"),)),
    row(_S, "--bn-group", "bn_group"),
    row(_S, "--bn-fp16", "bn_fp16", 0, constant="true"),
    idle(_S, "--no-fuse-bn-add-relu", 0, FUSED),
    idle(_S, "--no-fuse-bn-relu", 0, FUSED),
    idle(_S, "--fuse-conv-bn-add-relu", 0, FUSED),
    row(_S, "--precision", "precision", values=_PRECISIONS),
    row(_S, "--fp16-loss-scale", "loss_scale"),
    row(_S, "--dataset", "@nothing", values=(("coco2017", "coco2017"),), why=SIZES),
    row(_S, "--synthetic", "data_pipeline", 0, constant="synthetic"),
    row(_S, "--use-tfrecord", "@use_tfrecord", 0, constant="true"),
    row(_S, "--coco-root", "data"),
    row(_S, "--tfrecord-root", "@tfrecord_root"),
    idle(_S, "--dataset-size", 1, SIZES),
    idle(_S, "--eval-dataset-size", 1, SIZES),
    row(_S, "--input-jpg-decode", "input_jpg_decode", values=_DECODERS),
    row(_S, "--hw-decoder-load", "hw_decoder_load"),
    row(_S, "--data-shape", "@nothing", values=(("300", "300"),), why="SSD300 has no other size"),
    row(_S, "--data-layout", "layout", values=_LAYOUTS),
    row(_S, "--input-batch-multiplier", "input_batch_multiplier"),
    row(_S, "--dali-workers -j", "dali_workers"),
    row(_S, "--pretrained-backbone", "pretrained_backbone"),
    row(_S, "--gradient-predivide-factor", "gradient_predivide"),
    row(_S, "--horovod-num-groups", "num_groups"),
    row(_S, "--resume-from", "@checkpoint"),
    row(_S, "--start-epoch", "start_epoch"),
    row(_S, "--lr-decay-factor", "decay_factor"),
    row(_S, "--lr-decay-epochs", "decay_epochs", "*"),
    row(_S, "--lr-warmup-epochs --lr-warmup-epoch", "warmup_epochs"),
    row(_S, "--lr-warmup-factor", "warmup_factor"),
    row(_S, "--save-interval", "save_every"),
    row(_S, "--async-val", "async_val", 0, constant="true"),
    row(_S, "--val-interval", "eval_every"),
    row(_S, "--val-epochs", "eval_epochs", "*"),
    row(_S, "--target-map -t", "target_map", change=percent),
    idle(_S, "--cocoapi-threads", 1, "pycocotools scores in one thread"),
    row(_S, "--nms-valid-thresh", "score_threshold"),
    row(_S, "--nms-overlap-thresh", "iou_threshold"),
    row(_S, "--nms-topk", "nms_candidates"),
    row(_S, "--post-nms", "max_detections", change=all_as_most),
    idle(_S, "--bulk-last-wgrad", 0, "MXNet groups operators itself; the result is the same"),
    row(_S, "--results", "output"),
    idle(_S, "--log-level", 1, "train.log holds all there is to tell"),
    idle(_S, "--log-local-ranks", "*", "rank 0 writes the log"),
    idle(_S, "--profile-no-horovod", 0, "one process does without Horovod in any case"),
    row(_S, "--profile-start", "@profile_first", change=whole),
    row(_S, "--profile-stop", "@profile_last", change=whole),
    idle(_S, "--test-initialization", 0, "gluon-ssd doctor checks a network"),
    idle(_S, "--test-anchors", 0, "gluon-ssd models ssd_resnet34 describes the network"),
)
