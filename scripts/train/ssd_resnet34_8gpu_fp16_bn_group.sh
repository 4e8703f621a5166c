#!/usr/bin/env bash
# MLPerf's SSD-ResNet34 on 8 GPUs, float16 and NHWC, 8 images each, batch norm over groups of 4 GPUs.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="MLPerf's SSD-ResNet34 on 8 GPUs, float16 and NHWC, 8 images each, batch norm over groups of 4 GPUs."
RECIPE=ssd_resnet34/mlperf_fp16
GPUS_DEFAULT=8
FLAGS=(--batch-size 8 --bn-group 4)
train "$@"
