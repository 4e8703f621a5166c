# shellcheck shell=bash
# What build.sh and launch.sh share. Sourced by them.
# shellcheck source=scripts/docker/config.sh
source "$(dirname "${BASH_SOURCE[0]}")/config.sh"

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export REPOSITORY

fail() {
    echo "error: $*" >&2
    exit 2
}

# Runs a command, or prints it as one line that can be pasted into a shell.
run() {
    if [[ ${dry_run:-no} == yes ]]; then
        printf '%q ' "$@"
        echo
    else
        command -v "$1" >/dev/null || fail "$1 is not installed"
        "$@"
    fi
}
