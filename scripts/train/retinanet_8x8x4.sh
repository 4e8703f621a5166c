#!/usr/bin/env bash
# NVIDIA's MLPerf v2.0 RetinaNet on 8 DGX A100, 4 images for each GPU.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="NVIDIA's MLPerf v2.0 RetinaNet on 8 DGX A100, 4 images for each GPU."
RECIPE=retinanet_resnext50_32x4d/mlperf
GPUS_DEFAULT=8
NODES_DEFAULT=8
BACKBONE_FILE=resnext50_32x4d-7cdf4587.pickle
DATA_DEFAULT=/datasets/open-images-v6
FLAGS=(--batch-size 4 --precision amp --dynamic-loss-scale --layout NHWC --data-pipeline dali --compression fp16 --async-val)
train "$@"
