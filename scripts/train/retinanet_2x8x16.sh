#!/usr/bin/env bash
# MLPerf's RetinaNet on 2 hosts of 8 GPUs with 16 images each.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="MLPerf's RetinaNet on 2 hosts of 8 GPUs with 16 images each."
RECIPE=retinanet_resnext50_32x4d/mlperf
GPUS_DEFAULT=8
NODES_DEFAULT=2
BACKBONE_FILE=resnext50_32x4d-7cdf4587.pickle
DATA_DEFAULT=/datasets/open-images-v6
FLAGS=(--batch-size 16 --precision amp --dynamic-loss-scale --layout NHWC --data-pipeline dali)
train "$@"
