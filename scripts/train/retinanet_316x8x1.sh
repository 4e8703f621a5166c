#!/usr/bin/env bash
# NVIDIA's MLPerf v4.0 RetinaNet on 316 DGX H100, one image for each GPU.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="NVIDIA's MLPerf v4.0 RetinaNet on 316 DGX H100, one image for each GPU."
RECIPE=retinanet_resnext50_32x4d/mlperf
GPUS_DEFAULT=8
NODES_DEFAULT=316
BACKBONE_FILE=resnext50_32x4d-7cdf4587.pickle
DATA_DEFAULT=/datasets/open-images-v6
FLAGS=(--epochs 12 --warmup-epochs 1 --eval-every 1 --batch-size 1 --eval-batch-size 8 --lr 0.000135
    --precision amp --dynamic-loss-scale --layout NHWC --data-pipeline dali --async-val
    --input-jpg-decode hw --hw-decoder-load 0.99 --input-batch-multiplier 16 --dali-workers 32)
train "$@"
