#!/usr/bin/env bash
# Starts the container, with data sets and results of the host in it.
set -euo pipefail
# shellcheck source=scripts/docker/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

usage() {
    cat <<EOT
usage: ${0##*/} [--cpu] [--dry-run] [--help] DATASET_DIR RESULTS_DIR [COMMAND ...]

Starts $GLUON_SSD_IMAGE. Inside, DATASET_DIR is /datasets, RESULTS_DIR is /results and this repository is
/workspace/ssd. Without a COMMAND it is a shell.

  --cpu      $GLUON_SSD_CPU_IMAGE, without GPUs
  --dry-run  print the command
  --help     show this

environment:
  GLUON_SSD_IMAGE, GLUON_SSD_CPU_IMAGE  other images than those of scripts/docker/config.sh
  GLUON_SSD_GPUS                        GPUs to pass on, as docker takes them (default: all)

example:
  ${0##*/} /data /results scripts/train/ssd_resnet34_1gpu_fp16.sh
EOT
}

dry_run=no image=$GLUON_SSD_IMAGE devices=(--gpus "${GLUON_SSD_GPUS:-all}")
while (($#)); do
    case $1 in
        --cpu) image=$GLUON_SSD_CPU_IMAGE devices=() ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        -*) fail "unknown argument $1 (see: ${0##*/} --help)" ;;
        *) break ;;
    esac
    shift
done
(($# >= 2)) || fail "give the folder of the data sets and that of the results (see: ${0##*/} --help)"
datasets=$(realpath -m "$1") results=$(realpath -m "$2")
shift 2
if [[ $dry_run == no ]]; then
    [[ -d $datasets ]] || fail "$datasets: no such folder"
    make_folder "$results"
fi
(($#)) || set -- bash
terminal=()
[[ ! -t 0 || $dry_run == yes ]] || terminal=(--interactive --tty)
# Loader processes and Horovod exchange data through shared memory, for which docker gives 64 MB.
need docker
run docker run --rm "${terminal[@]}" "${devices[@]}" --ipc=host \
    --ulimit memlock=-1 --ulimit stack=67108864 \
    --volume "$REPOSITORY:/workspace/ssd" --volume "$datasets:/datasets" --volume "$results:/results" \
    --workdir /workspace/ssd "$image" "$@"
