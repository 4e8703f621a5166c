#!/usr/bin/env bash
# NVIDIA's MLPerf v1.1 SSD on 4 GPUs with 228 images each, images decoded once.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="NVIDIA's MLPerf v1.1 SSD on 4 GPUs with 228 images each, images decoded once."
RECIPE=ssd_resnet34/dgxa100
GPUS_DEFAULT=4
FLAGS=(--batch-size 228 --eval-batch-size 228 --async-val
    --data-pipeline dali --dali-workers 8 --input-jpg-decode cache)
train "$@"
