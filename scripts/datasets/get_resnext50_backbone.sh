#!/usr/bin/env bash
# The ImageNet ResNeXt-50 32x4d that MLPerf's RetinaNet starts from.
set -euo pipefail
# shellcheck source=scripts/datasets/backbone.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backbone.sh"
get_backbone resnext50_32x4d resnext50_32x4d-7cdf4587.pth "$@"
