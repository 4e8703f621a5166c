#!/usr/bin/env bash
# DALI's example: SSD-ResNet50 on 8 GPUs, mixed precision, 64 images each, warm-up of 300 steps.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="DALI's example: SSD-ResNet50 on 8 GPUs, mixed precision, 64 images each, warm-up of 300 steps."
RECIPE=ssd_resnet50/dali
GPUS_DEFAULT=8
BACKBONE_FILE=resnet50-19c8e357.pickle
FLAGS=(--data-pipeline dali)
train "$@"
