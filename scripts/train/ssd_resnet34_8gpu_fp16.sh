#!/usr/bin/env bash
# MLPerf's SSD-ResNet34 on 8 GPUs, float16 and NHWC as NVIDIA's submission, 32 images each.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="MLPerf's SSD-ResNet34 on 8 GPUs, float16 and NHWC as NVIDIA's submission, 32 images each."
RECIPE=ssd_resnet34/mlperf_fp16
GPUS_DEFAULT=8
train "$@"
