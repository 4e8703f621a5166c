# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those who source this
# What run_and_time.sh, run.sub and run_with_docker.sh share: one name for each setting, whichever the user gave.
# Sourced by them. Neutral names win; those of the published configurations follow.

# shellcheck source=scripts/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

: "${BENCHMARK:=ssd}"
: "${NODES:=${DGXNNODES:-${PGNNODES:-1}}}"
: "${GPUS_PER_NODE:=${DGXNGPU:-${PGNGPU:-1}}}"
: "${SYSTEM:=${DGXSYSTEM:-${PGSYSTEM:-unknown}}}"
: "${BATCHSIZE:=32}" "${NEXP:=5}" "${CLEAR_CACHES:=1}"
: "${DATADIR:=/datasets}" "${LOGDIR:=$PWD/results}"
: "${PRETRAINED_DIR:=${BACKBONE_DIR:-$DATADIR/backbones}}"
# Containers mount nothing relative.
DATADIR=$(realpath -ms "$DATADIR") LOGDIR=$(realpath -ms "$LOGDIR") PRETRAINED_DIR=$(realpath -ms "$PRETRAINED_DIR")
# All tasks of a job must mean the same folder.
: "${DATESTAMP:=${SLURM_JOB_ID:-$(date +%y%m%d%H%M%S)}}"
case $BENCHMARK in
    ssd) default_data=coco2017 default_backbone=resnet34-333f7ec4.pickle ;;
    retinanet) default_data=open-images-v6 default_backbone=resnext50_32x4d-7cdf4587.pickle ;;
    *) fail "BENCHMARK=$BENCHMARK: must be ssd or retinanet" ;;
esac

number() {
    [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "$1=$2: expected a number from 1"
}
number "NODES (DGXNNODES, PGNNODES)" "$NODES"
number "GPUS_PER_NODE (DGXNGPU, PGNGPU, --gpus)" "$GPUS_PER_NODE"
number NEXP "$NEXP"
number BATCHSIZE "$BATCHSIZE"
switches ASYNC_EVAL CLEAR_CACHES DRY_RUN GLUON_SSD_SMOKE MLPERF_LOG

# What a job tells its processes: those of these that are set.
FORWARDED=(BENCHMARK NODES GPUS_PER_NODE SYSTEM BATCHSIZE EVALBATCHSIZE NUMEPOCHS LR WARMUP_EPOCHS LOG_INTERVAL
    DATA_LAYOUT ASYNC_EVAL DATASET_SIZE EVAL_DATASET_SIZE EXTRA_PARAMS DATASET_DIR PRETRAINED_BACKBONE RESULTS_DIR
    MLPERF_LOG SUBMITTER LAUNCHER BIND SEED DATESTAMP GLUON_SSD_SMOKE MLPERF_CACHE_CLEARED MLPERF_SUBMISSION_ORG
    MLPERF_SUBMISSION_PLATFORM MLPERF_SUBMISSION_DIVISION MLPERF_SUBMISSION_STATUS MLPERF_SUBMISSION_POC_NAME
    MLPERF_SUBMISSION_POC_EMAIL)

# Puts them into variables, as NAME=VALUE.
forward() {
    local variable
    variables=()
    for variable in "${FORWARDED[@]}"; do
        [[ -z ${!variable:-} ]] || variables+=("$variable=${!variable}")
    done
}

# Inside a container; the folders are those that run.sub and run_with_docker.sh mount.
: "${DATASET_DIR_INSIDE:=/datasets/$default_data}"
: "${BACKBONE_INSIDE:=/pretrained/$default_backbone}"
