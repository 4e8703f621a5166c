#!/usr/bin/env bash
# The ImageNet ResNet-18 that ssd_resnet18 starts from.
set -euo pipefail
# shellcheck source=scripts/datasets/backbone.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backbone.sh"
get_backbone resnet18 resnet18-f37072fd.pth "$@"
