#!/usr/bin/env bash
# NVIDIA's MLPerf v1.1 SSD on 8 DGX A100, 24 images for each GPU, batch norm over pairs.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="NVIDIA's MLPerf v1.1 SSD on 8 DGX A100, 24 images for each GPU, batch norm over pairs."
RECIPE=ssd_resnet34/dgxa100
GPUS_DEFAULT=8
NODES_DEFAULT=8
FLAGS=(--epochs 70 --batch-size 24 --eval-batch-size 24 --bn-group 2 --async-val
    --lr 0.004 --weight-decay 1.7e-4 --decay-epochs 48 60 --warmup-epochs 15
    --data-pipeline dali --dali-workers 8 --input-jpg-decode cache)
train "$@"
