#!/usr/bin/env bash
# The ImageNet ResNet-101 that ssd_resnet101 starts from.
set -euo pipefail
# shellcheck source=scripts/datasets/backbone.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backbone.sh"
get_backbone resnet101 resnet101-63fe2227.pth "$@"
