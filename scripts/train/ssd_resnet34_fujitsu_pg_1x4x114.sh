#!/usr/bin/env bash
# Fujitsu's MLPerf v1.1 SSD on a PRIMERGY GX2460 M1, 4 GPUs with 114 images each.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
ABOUT="Fujitsu's MLPerf v1.1 SSD on a PRIMERGY GX2460 M1, 4 GPUs with 114 images each."
RECIPE=ssd_resnet34/fujitsu_pg
GPUS_DEFAULT=4
FLAGS=(--eval-batch-size 114 --async-val
    --data-pipeline dali --dali-workers 4 --input-jpg-decode cache)
train "$@"
