#!/usr/bin/env bash
# NVIDIA's MLPerf v2.0 RetinaNet on 160 DGX A100, one image for each GPU.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="NVIDIA's MLPerf v2.0 RetinaNet on 160 DGX A100, one image for each GPU."
RECIPE=retinanet_resnext50_32x4d/mlperf
GPUS_DEFAULT=8
NODES_DEFAULT=160
BACKBONE_FILE=resnext50_32x4d-7cdf4587.pickle
DATA_DEFAULT=/datasets/open-images-v6
FLAGS=(--epochs 35 --warmup-epochs 1 --eval-every 1 --batch-size 1 --eval-batch-size 1 --lr 0.00012
    --precision amp --dynamic-loss-scale --layout NHWC --data-pipeline dali --compression fp16 --async-val)
train "$@"
