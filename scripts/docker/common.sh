# shellcheck shell=bash
# What build.sh and launch.sh share. Sourced by them.
# shellcheck source=scripts/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"
# shellcheck source=scripts/docker/config.sh
source "$(dirname "${BASH_SOURCE[0]}")/config.sh"

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export REPOSITORY
