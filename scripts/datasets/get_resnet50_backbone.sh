#!/usr/bin/env bash
# The ImageNet ResNet-50 that DeepLearningExamples' SSD starts from.
set -euo pipefail
# shellcheck source=scripts/datasets/backbone.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/backbone.sh"
get_backbone resnet50 resnet50-19c8e357.pth "$@"
