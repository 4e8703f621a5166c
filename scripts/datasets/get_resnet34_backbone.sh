#!/usr/bin/env bash
# The ImageNet ResNet-34 that MLPerf's SSD starts from, the file of its rules.
set -euo pipefail
# shellcheck source=scripts/datasets/backbone.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backbone.sh"
get_backbone resnet34 resnet34-333f7ec4.pth "$@"
