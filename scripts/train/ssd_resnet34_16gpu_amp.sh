#!/usr/bin/env bash
# MLPerf's SSD-ResNet34 on 16 GPUs, mixed precision, 32 images each.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="MLPerf's SSD-ResNet34 on 16 GPUs, mixed precision, 32 images each."
RECIPE=ssd_resnet34/mlperf
GPUS_DEFAULT=16
FLAGS=(--precision amp)
train "$@"
