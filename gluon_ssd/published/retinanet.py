"""Options of `train.py` of MLPerf's RetinaNet: the reference's, and NVIDIA's of v2.0 to v5.1."""

from __future__ import annotations

from .table import (
    FUSED,
    RANK,
    SIZES,
    TORCH,
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
        "retinanet",
        "MLPerf's RetinaNet",
        "retinanet_resnext50_32x4d/mlperf",
        (("precision", "amp"), ("layout", "NHWC")),
        "/datasets/open-images-v6",
    ),
)

_R = "retinanet"
_BACKBONES = (
    ("resnext50_32x4d", "retinanet_resnext50_32x4d/mlperf"),
    ("resnet50", "retinanet_resnet50/torchvision"),
)
_DATASETS = tuple((name, "") for name in ("openimages-mlperf", "openimages", "coco"))
_SYNTHETIC = (("0", "0"), ("1", "1"), ("2", "2"))
_LAYOUTS = (("channels_first", "NCHW"), ("channels_last", "NHWC"))
_DEVICES = (("cuda", "gpu"), ("cuda:0", "gpu"), ("cpu", "cpu"))
_DALI_MEMORY = "DALI finds the sizes of its buffers itself"
_DALI_EVALUATION = "evaluation reads as training does"
_GRAPHS = "MXNet compiles the network as one graph"
_POWER = "no power is measured here; training stops at the target"

OPTIONS = (
    row(_R, "--epochs", "epochs"),
    row(_R, "--batch-size -b --bs", "batch_size"),
    row(_R, "--eval-batch-size -e", "eval_batch_size"),
    row(_R, "--seed -s", "seed", change=seed),
    row(_R, "--lr", "lr"),
    row(_R, "--amp", "precision", 0, constant="amp"),
    row(_R, "--no-amp", "precision", 0, constant="fp32"),
    row(_R, "--data-layout", "layout", values=_LAYOUTS),
    row(_R, "--backbone", "@recipe", values=_BACKBONES),
    row(_R, "--trainable-backbone-layers", "trainable_layers"),
    row(_R, "--image-size", "input_size", 2),
    row(_R, "--pretrained", "@pretrained", "?"),
    row(_R, "--device", "device", values=_DEVICES),
    idle(_R, "--sync-bn", 0, "all norms of this network are frozen, there is nothing to share"),
    # Data.
    row(_R, "--dataset-path", "data"),
    row(_R, "--dataset", "@nothing", values=_DATASETS, why=SIZES),
    idle(_R, "--num-classes", 1, SIZES),
    row(_R, "--train-data-path", "train_images"),
    row(_R, "--train-annotations-file", "train_annotation"),
    row(_R, "--val-data-path", "val_images"),
    row(_R, "--val-annotations-file", "val_annotation"),
    row(_R, "--data-augmentation", "augment", values=(("hflip", "flip"),)),
    row(_R, "--syn-dataset", "@synthetic", "?", values=_SYNTHETIC),
    row(_R, "--workers -j", "workers"),
    idle(_R, "--max-boxes", 1, "a batch is padded as far as its images need"),
    # Schedule.
    row(_R, "--start-epoch", "start_epoch", change=counted_from_one),
    row(_R, "--max-iters-per-epoch", "@epoch_batches", change=whole),
    row(_R, "--warmup-epochs", "warmup_epochs"),
    row(_R, "--warmup-factor", "warmup_start"),
    # Each of these epochs is one step on made-up images.
    row(_R, "--model-warmup-epochs", "model_warmup"),
    row(_R, "--resume", "@checkpoint"),
    row(_R, "--output-dir", "output"),
    row(_R, "--print-freq", "log_every"),
    idle(_R, "--deterministic", 0, "with the same seed, processes and data the order and the images repeat"),
    # Evaluation.
    row(_R, "--target-map", "target_map", change=percent),
    row(_R, "--test-only", "@mode", 0, constant="val"),
    row(_R, "--skip-eval", "@skip_eval", 0, constant="true"),
    row(_R, "--max-eval-iters-per-epoch --max-eval-iters", "@eval_batches", change=whole),
    row(_R, "--async-coco", "async_val", 0, constant="true"),
    idle(_R, "--async-coco-check-freq", 1, "scores are taken with the progress lines, --print-freq"),
    row(_R, "--num-eval-ranks", "eval_ranks"),
    idle(_R, "--eval-print-freq", 1, "evaluation shows its progress"),
    idle(_R, "--cocoeval --coco-threads", 1, "pycocotools scores in one thread"),
    # DALI.
    row(_R, "--dali", "data_pipeline", 0, constant="dali"),
    row(_R, "--dali-cpu-decode", "input_jpg_decode", 0, constant="cpu"),
    row(_R, "--dali-decoder-hw-load", "hw_decoder_load"),
    row(_R, "--dali-input-batch-multiplier", "input_batch_multiplier"),
    idle(_R, "--dali-eval --dali-eval-cache", 0, _DALI_EVALUATION),
    idle(_R, "--dali-eval-decoder-hw-load --dali-eval-input-batch-multiplier", 1, _DALI_EVALUATION),
    idle(_R, "--dali-matched-idxs", 0, "the loader's threads match boxes to anchors"),
    idle(_R, "--dali-prefetch-queue-depth --dali-pinned-memory-size --dali-cmn-hint", 1, _DALI_MEMORY),
    idle(_R, "--dali-decoder-hint-height --dali-decoder-hint-width --dali-eval-cmn-hint", 1, _DALI_MEMORY),
    idle(_R, "--dali-eval-decoder-hint-height --dali-eval-decoder-hint-width", 1, _DALI_MEMORY),
    idle(_R, "--dali-preallocate-height --dali-preallocate-width", 1, _DALI_MEMORY),
    idle(_R, "--dali-cmn", 1, "DALI has one way to crop, mirror and normalise here"),
    idle(_R, "--dali-sync --dali-resize-first", 0, "the order of DALI's steps is fixed here"),
    # Precision and fused operators.
    idle(_R, "--frozen-bn-opt --frozen-bn-fp16", 0, "frozen norms are a scale and a shift here, too"),
    idle(_R, "--master-weights", 0, "weights are kept in float32 with --amp"),
    idle(_R, "--apex-adam --apex-focal-loss", 0, "this library's Adam and focal loss are used"),
    idle(_R, "--apex-backbone-fusion --apex-head-fusion", 0, FUSED),
    idle(_R, "--reg-head-pad --cls-head-pad", 0, TORCH),
    idle(_R, "--cuda-graphs --cuda-graphs-eval --cuda-graphs-syn", 0, _GRAPHS),
    idle(_R, "--not-graphed-prologues", 0, _GRAPHS),
    idle(_R, "--jit --cudnn-bench --sync-after-graph-replay", 0, TORCH),
    # Processes.
    row(_R, "--fp16-allreduce", "compression", 0, constant="fp16"),
    idle(_R, "--enable-sharp", 0, "NCCL uses SHARP where its variables and the network allow it"),
    idle(_R, "--disable-ddp-broadcast-buffers --no-gradient-as-bucket-view", 0, TORCH),
    idle(_R, "--ddp-bucket-sz --ddp-first-bucket-sz", 1, "Horovod bundles gradients: --fusion-mb"),
    idle(_R, "--allreduce-barrier", 0, TORCH),
    idle(_R, "--skip-metric-loss --metric-loss", 0, "losses in the log are means of all processes"),
    idle(_R, "--world-size --dist-url --dist-backend", 1, "Horovod knows the processes"),
    idle(_R, "--local_rank --local-rank", 1, RANK),
    # Measurements.
    row(_R, "--cuda-profiler-start", "@profile_first", change=whole),
    row(_R, "--cuda-profiler-stop", "@profile_last", change=whole),
    idle(_R, "--cuda-profiler", 0, "--cuda-profiler-start and --cuda-profiler-stop, or --profile, start it"),
    idle(_R, "--cuda-profiler-eval", 0, "only training steps are profiled here"),
    idle(_R, "--power-benchmark --not-power-benchmark", 0, _POWER),
    idle(_R, "--power-sustain-time", 1, _POWER),
)
