#!/usr/bin/env bash
# Trains a configuration for one host NEXP times in a docker container.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

usage() {
    cat <<EOT
usage: source configs/config_NAME.sh; [CONT=IMAGE] ${0##*/} [--cpu] [--dry-run] [--help]

Trains the configuration NEXP times in a container and writes a log of each to LOGDIR.

  --cpu      without GPUs
  --dry-run  print the commands, one a line
  --help     show this

environment, beside what the configuration sets:
  CONT            image (default: that of scripts/docker/config.sh)
  DATADIR         the data set, or the folder with coco2017 or open-images-v6 in it (default: /datasets)
  LOGDIR          logs and run folders: /results in the container (default: results)
  PRETRAINED_DIR  folder of the backbone, or BACKBONE_DIR or TORCH_HOME, PyTorch's cache: /pretrained in the
                  container (default: backbones in DATADIR)
  NEXP            trainings (default: 5; 1 where the configuration sets WALLTIME_RUNANDTIME)
  CLEAR_CACHES    1: drop the file caches before each (default: 1; needs sudo)
  GLUON_SSD_GPUS  GPUs to pass on, as docker takes them (default: all)

example:
  source configs/config_DGXA100_1x8x114.sh
  NEXP=1 DATADIR=/data LOGDIR=/results PRETRAINED_DIR=/data/backbones ./${0##*/}
EOT
}

dry_run=no cpu=no
while (($#)); do
    case $1 in
        --cpu) cpu=yes ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        *)
            echo "error: unknown argument $1 (see: ${0##*/} --help)" >&2
            exit 2
            ;;
    esac
    shift
done
# shellcheck source=scripts/train/settings.sh
source "$here/settings.sh"
# shellcheck source=scripts/docker/config.sh
source "$here/../docker/config.sh"
((NODES == 1)) || fail "$NODES hosts: this starts one; use run.sub"

repository=$(cd "$here/../.." && pwd)
name=single_stage_detector_$DATESTAMP
devices=(--gpus "${GLUON_SSD_GPUS:-all}")
[[ $cpu == no ]] || devices=()
# shellcheck disable=SC2034  # passed on by environment
DATASET_DIR=$DATASET_DIR_INSIDE PRETRAINED_BACKBONE=$BACKBONE_INSIDE RESULTS_DIR=/results
log_base=$LOGDIR/${BENCHMARK}_1x${GPUS_PER_NODE}x${BATCHSIZE}_$DATESTAMP

if [[ $dry_run == no ]]; then
    command -v docker >/dev/null || fail "docker is not installed"
    check_data
    make_folder "$LOGDIR"
    trap 'docker container rm --force "$name" >/dev/null 2>&1 || true' EXIT
fi

# Loader processes and Horovod exchange data through shared memory, for which docker gives 64 MB.
run docker run --rm --init --detach --name "$name" "${devices[@]}" --net=host --ipc=host \
    --ulimit memlock=-1 --ulimit stack=67108864 --cap-add SYS_NICE \
    --volume "$repository:/workspace/ssd" --volume "$data:/datasets/$default_data" \
    --volume "$LOGDIR:/results" --volume "$PRETRAINED_DIR:/pretrained" \
    --workdir /workspace/ssd "${CONT:-$GLUON_SSD_IMAGE}" sleep infinity

trial() {
    local -a variables=()
    [[ $dry_run == yes ]] || echo "Beginning trial $1 of $NEXP"
    if [[ $CLEAR_CACHES == 1 ]]; then
        run sync
        run sudo /sbin/sysctl vm.drop_caches=3
        # shellcheck disable=SC2034  # passed on by environment
        MLPERF_CACHE_CLEARED=1
    fi
    # Every training has its own run folder and, unless one is asked for, its own seed.
    DATESTAMP=${base_stamp}_$1 SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
    forward
    # By value: docker's own --env NAME would want it exported.
    run docker exec "${variables[@]/#/--env=}" "$name" scripts/train/run_and_time.sh
}

base_stamp=$DATESTAMP
for ((index = 1; index <= NEXP; index++)); do
    if [[ $dry_run == yes ]]; then
        (trial "$index")
    else
        (trial "$index") |& tee "${log_base}_$index.log"
    fi
done
