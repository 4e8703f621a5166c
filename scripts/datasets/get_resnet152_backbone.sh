#!/usr/bin/env bash
# The ImageNet ResNet-152 that ssd_resnet152 starts from.
set -euo pipefail
# shellcheck source=scripts/datasets/backbone.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backbone.sh"
get_backbone resnet152 resnet152-394f9c45.pth "$@"
