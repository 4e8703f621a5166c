#!/usr/bin/env bash
# SSD-ResNet50 on 4 cards, mixed precision, 65 epochs, 32 images each.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="SSD-ResNet50 on 4 cards, mixed precision, 65 epochs, 32 images each."
RECIPE=ssd_resnet50/dle_amp
GPUS_DEFAULT=4
BACKBONE_FILE=resnet50-19c8e357.pickle
FLAGS=(--batch-size 32 --layout NCHW)
train "$@"
