#!/usr/bin/env bash
# NVIDIA's MLPerf v1.1 SSD on a DGX A100, 8 GPUs with 114 images each, images decoded once.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="NVIDIA's MLPerf v1.1 SSD on a DGX A100, 8 GPUs with 114 images each, images decoded once."
RECIPE=ssd_resnet34/dgxa100
GPUS_DEFAULT=8
FLAGS=(--eval-batch-size 114 --async-val
    --data-pipeline dali --dali-workers 8 --input-jpg-decode cache)
train "$@"
