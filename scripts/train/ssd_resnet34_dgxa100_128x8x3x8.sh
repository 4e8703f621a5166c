#!/usr/bin/env bash
# NVIDIA's MLPerf v1.1 SSD on 128 DGX A100, 3 images for each GPU, batch norm over 8.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="NVIDIA's MLPerf v1.1 SSD on 128 DGX A100, 3 images for each GPU, batch norm over 8."
RECIPE=ssd_resnet34/dgxa100
GPUS_DEFAULT=8
NODES_DEFAULT=128
FLAGS=(--epochs 90 --batch-size 3 --eval-batch-size 5 --bn-group 8 --async-val
    --lr 0.004 --weight-decay 4e-5 --decay-epochs 68 85 --warmup-epochs 35 --eval-every 5
    --data-pipeline dali --dali-workers 6 --input-jpg-decode cache --input-batch-multiplier 20)
train "$@"
