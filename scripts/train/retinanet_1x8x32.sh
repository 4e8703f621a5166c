#!/usr/bin/env bash
# NVIDIA's MLPerf RetinaNet on 8 GPUs of a host with 32 images each, without warm-up.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="NVIDIA's MLPerf RetinaNet on 8 GPUs of a host with 32 images each, without warm-up."
RECIPE=retinanet_resnext50_32x4d/dgxa100
GPUS_DEFAULT=8
BACKBONE_FILE=resnext50_32x4d-7cdf4587.pickle
DATA_DEFAULT=/datasets/open-images-v6
FLAGS=(--warmup-start 0.001 --precision amp --dynamic-loss-scale --layout NHWC --data-pipeline dali --async-val)
train "$@"
