# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those who source this
# What run_and_time.sh, run.sub and run_with_docker.sh share: one name for each setting, whichever the user gave.
# Sourced by them. Neutral names win; those of the published configurations follow.

# shellcheck source=scripts/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

# Some configurations were written on Windows: their values end in a carriage return.
for name in DGXNNODES DGXNGPU PGNNODES PGNGPU BATCHSIZE EVALBATCHSIZE NUMEPOCHS LR WARMUP_EPOCHS EXTRA_PARAMS; do
    [[ ${!name:-} != *$'\r' ]] || export "$name=${!name%$'\r'}"
done

: "${NODES:=${DGXNNODES:-${PGNNODES:-1}}}"
: "${GPUS_PER_NODE:=${DGXNGPU:-${PGNGPU:-1}}}"
: "${SYSTEM:=${DGXSYSTEM:-${PGSYSTEM:-unknown}}}"
: "${BATCHSIZE:=32}" "${CLEAR_CACHES:=1}"
# As in the run.sub that each is from: the configurations that limit the time of a training are of v4.1 and later.
: "${NEXP:=$([[ -n ${WALLTIME_RUNANDTIME:-} ]] && echo 1 || echo 5)}"
: "${LOGDIR:=$PWD/results}" "${PRETRAINED_DIR:=${BACKBONE_DIR:-${TORCH_HOME:-${DATADIR:-/datasets}/backbones}}}"
# All tasks of a job must mean the same folder.
: "${DATESTAMP:=${SLURM_JOB_ID:-$(date +%y%m%d%H%M%S)}}"

number() {
    [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "$1=$2: expected a number from 1"
}
number "NODES (DGXNNODES, PGNNODES)" "$NODES"
number "GPUS_PER_NODE (DGXNGPU, PGNGPU, --gpus)" "$GPUS_PER_NODE"
number NEXP "$NEXP"
number BATCHSIZE "$BATCHSIZE"
switches ASYNC_EVAL CHECK_COMPLIANCE CLEAR_CACHES DESCRIBE DRY_RUN GLUON_SSD_SMOKE MLPERF_LOG NCCL_TEST

# Published configurations do not say which benchmark they are of. Only RetinaNet's set LR; only SSD's have it
# among their options.
if [[ -z ${BENCHMARK:-} ]]; then
    if [[ -n ${LR:-}${WARMUP_EPOCHS:-} || ${DATASET_DIR:-} == *open-images* ]]; then
        BENCHMARK=retinanet
    elif [[ " ${EXTRA_PARAMS:-}" == *[[:space:]]--lr[-=\ ]* ]]; then
        BENCHMARK=ssd
    else
        fail "which benchmark? neither LR (RetinaNet) nor EXTRA_PARAMS with --lr (SSD) is set; set BENCHMARK=ssd" \
            "or BENCHMARK=retinanet"
    fi
fi
case $BENCHMARK in
    ssd) default_data=coco2017 default_backbone=resnet34-333f7ec4.pickle labels=annotations ;;
    retinanet) default_data=open-images-v6 default_backbone=resnext50_32x4d-7cdf4587.pickle labels=train/labels ;;
    *) fail "BENCHMARK=$BENCHMARK: must be ssd or retinanet" ;;
esac
# DATADIR is the data set (RetinaNet) or the folder that holds it (SSD); each is understood for both.
if [[ -n ${DATADIR:-} && ! -d $DATADIR/$default_data ]] &&
    [[ $BENCHMARK == retinanet || -d $DATADIR/$labels || $DATADIR == */$default_data ]]; then
    data=$DATADIR
else
    data=${DATADIR:-/datasets}/$default_data
fi
# BACKBONE_DIR and TORCH_HOME are caches of PyTorch.
torch=hub/checkpoints/${default_backbone%.pickle}.pth
cache=no
[[ $BENCHMARK != retinanet || $PRETRAINED_DIR != "${BACKBONE_DIR:-${TORCH_HOME:-}}" ]] || cache=yes
if [[ ! -e $PRETRAINED_DIR/$default_backbone && ($cache == yes || -e $PRETRAINED_DIR/$torch) ]]; then
    default_backbone=$torch
fi
# Containers mount nothing relative.
data=$(realpath -ms "$data") LOGDIR=$(realpath -ms "$LOGDIR") PRETRAINED_DIR=$(realpath -ms "$PRETRAINED_DIR")

# Fails before a job starts that would not find its labels or its images.
check_data() {
    local part parts=(annotations train2017 val2017)
    [[ $BENCHMARK == ssd ]] || parts=({train,validation}/{labels,data})
    # Made-up images, and packed ones, which the training finds or does not.
    [[ " ${EXTRA_PARAMS:-}" != *[[:space:]]--@(syn|use-tfrecord)* && ${dry_run:-no} == no ]] || return 0
    for part in "${parts[@]}"; do
        [[ -n $(find -L "$data/$part" -mindepth 1 -print -quit 2> /dev/null) ]] ||
            fail "DATADIR=${DATADIR:-/datasets}: no $part in $data, or nothing in it;" \
                "give the data set, or the folder that holds it"
    done
}

# What a job tells its processes: those of these that are set.
FORWARDED=(BENCHMARK NODES GPUS_PER_NODE SYSTEM BATCHSIZE EVALBATCHSIZE NUMEPOCHS LR WARMUP_EPOCHS LOG_INTERVAL
    DATA_LAYOUT ASYNC_EVAL DATASET_SIZE EVAL_DATASET_SIZE EXTRA_PARAMS DATASET_DIR PRETRAINED_BACKBONE RESULTS_DIR
    MLPERF_LOG SUBMITTER LAUNCHER BIND SEED DATESTAMP GLUON_SSD_SMOKE MLPERF_CACHE_CLEARED MLPERF_SUBMISSION_ORG
    MLPERF_SUBMISSION_PLATFORM MLPERF_SUBMISSION_DIVISION MLPERF_SUBMISSION_STATUS MLPERF_SUBMISSION_POC_NAME
    MLPERF_SUBMISSION_POC_EMAIL)

# Puts them into variables, as NAME=VALUE, with what a configuration sets for the libraries below.
forward() {
    local variable
    local -a libraries
    local kinds='^(NCCL|UCX|OMPI_MCA|PMIX_MCA|HCOLL|SHARP|CUDA|CUDNN|MXNET|DALI)_'
    mapfile -t libraries < <(compgen -e | grep -E "$kinds" || true)
    variables=()
    for variable in "${FORWARDED[@]}" "${libraries[@]}"; do
        [[ -z ${!variable:-} ]] || variables+=("$variable=${!variable}")
    done
}

# Inside a container; the folders are those that run.sub and run_with_docker.sh mount.
: "${DATASET_DIR_INSIDE:=/datasets/$default_data}"
: "${BACKBONE_INSIDE:=/pretrained/$default_backbone}"
