#!/usr/bin/env bash
# Scores a trained SSD-ResNet50, as SSD_ResNet50_Infer.sh does.
set -euo pipefail
# shellcheck source=scripts/train/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

usage() {
    cat <<EOT
usage: ${0##*/} [--checkpoint FILE] [--bs N] [--input_data_type TYPE] [--data FOLDER] [--smoke] [--dry-run]
       [--help] [FLAG ...]

Scores a checkpoint on the validation images of COCO: the 12 COCO numbers and a table per class. Other flags go on
to python -m gluon_ssd.main.

  --checkpoint FILE        checkpoint or run folder (environment: CHECKPOINT; default: the newest run of
                           ssd_resnet50_4gpu_*.sh in RESULTS, which is /results)
  --bs N                   images at once (BATCHSIZE; default: 32; published: 32 and 64)
  --input_data_type TYPE   float32 or float16 (INPUT_DATA_TYPE; default: float32)
  --data FOLDER            data set (DATADIR; default: /datasets/coco2017)
  --smoke                  four images on a CPU (GLUON_SSD_SMOKE=1)
  --dry-run                print the command
  --help                   show this

example:
  ${0##*/} --checkpoint /results/ssd_resnet50_4gpu_amp_65epochs --bs 64 --input_data_type float16
EOT
}

newest_run() {
    local folder newest=
    for folder in "${RESULTS:-/results}"/ssd_resnet50_4gpu_*; do
        [[ ! -d $folder/checkpoints ]] || [[ -n $newest && $newest -nt $folder ]] || newest=$folder
    done
    echo "$newest"
}

dry_run=no smoke=${GLUON_SSD_SMOKE:-0} checkpoint=${CHECKPOINT:-} rest=()
bs=${BATCHSIZE:-32} type=${INPUT_DATA_TYPE:-float32} data=${DATADIR:-/datasets/coco2017}
while (($#)); do
    case $1 in
        --checkpoint | --bs | --input_data_type | --data)
            (($# >= 2)) || fail "$1: expected a value (see: ${0##*/} --help)"
            set -- "$1=$2" "${@:3}"
            continue
            ;;
        --checkpoint=*) checkpoint=${1#*=} ;;
        --bs=*) bs=${1#*=} ;;
        --input_data_type=*) type=${1#*=} ;;
        --data=*) data=${1#*=} ;;
        --smoke) smoke=1 ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        *) rest+=("$1") ;;
    esac
    shift
done
switches GLUON_SSD_SMOKE
checkpoint=${checkpoint:-$(newest_run)}
[[ -n $checkpoint || $dry_run == yes ]] || fail "no run in ${RESULTS:-/results}; give one: --checkpoint FILE"
[[ $smoke != 1 ]] || rest=(--limit-val 4 --bs 2 --device cpu "${rest[@]}")
become "${PYTHON:-python}" -m gluon_ssd.main --system sample --mode evaluation --data "$data" --bs "$bs" \
    --input_data_type "$type" \
    --checkpoint "${checkpoint:-${RESULTS:-/results}/ssd_resnet50_4gpu_fp32_65epochs}" "${rest[@]}"
