#!/usr/bin/env bash
# Checks this machine's GPUs against the references, and writes one file with the findings.
set -euo pipefail
# shellcheck source=scripts/docker/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

usage() {
    cat <<EOT
usage: ${0##*/} [--cpu] [--output FILE] [--dry-run] [--help] [PYTEST_ARGUMENT ...]

Inside the container (see launch.sh): networks in float32, float16 and mixed precision against the references'
numbers, fused operators against stock ones, five training steps of SSD and of RetinaNet, DALI against the native loader, two processes
with shared norms where there are two GPUs, and a table of speeds. It takes at most ten minutes. All that it finds
is in FILE; please send it in.

  --cpu          the same on a CPU, for trying it out
  --output FILE  default: verify-HOST.txt in the current folder
  --dry-run      print the commands
  --help         show this

example:
  scripts/docker/launch.sh /data /results scripts/docker/verify.sh --output /results/verify.txt
EOT
}

dry_run=no where=gpu output=verify-$(hostname).txt rest=()
while (($#)); do
    case $1 in
        --cpu) where=cpu ;;
        --output) (($# > 1)) || fail "--output needs a file (see: ${0##*/} --help)"
            output=$2
            shift ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        *) rest+=("$1") ;;
    esac
    shift
done
python=${PYTHON:-python}
# Without TensorFloat-32, which is on by default from A100 on and keeps ten bits: float32 is compared as such.
tests=(env NVIDIA_TF32_OVERRIDE=0 GLUON_SSD_VERIFY="$where" "$python" -m pytest "$REPOSITORY/tests/gpu" -rA -q -p no:cacheprovider
    --rootdir "$REPOSITORY" "${rest[@]}")
if [[ $dry_run == yes ]]; then
    show "$python" -m gluon_ssd doctor
    show "${tests[@]}"
    exit
fi
: 2>/dev/null >"$output" || fail "$output: cannot be written"
"$python" -c 'import pytest' 2>/dev/null || fail 'pytest is not installed; pip install "gluon_ssd[dev]"'
status=0
{
    date -u
    nvidia-smi 2>/dev/null || echo "no nvidia-smi"
    "$python" -m gluon_ssd doctor || true
    timeout 600 "${tests[@]}"
} 2>&1 | tee "$output" || status=$?
echo "written: $output"
exit "$status"
