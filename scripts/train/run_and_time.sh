#!/usr/bin/env bash
# One timed training of a configuration; prints the RESULT line that MLPerf's tools read.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

usage() {
    cat <<EOT
usage: source configs/config_NAME.sh; ${0##*/} [--gpus N] [--smoke] [--dry-run] [--help] [FLAG ...]

Trains what the configuration says, and prints the seconds it took. A task that srun started is one process;
otherwise all processes of this host are started. FLAGs are added to EXTRA_PARAMS.

  --gpus N   processes on each host instead of GPUS_PER_NODE
  --smoke    three steps with small batches on a CPU, in one process unless --gpus says otherwise
             (GLUON_SSD_SMOKE=1)
  --dry-run  print the command
  --help     show this

environment, beside what the configuration sets:
  DATASET_DIR          data set (default: DATADIR if it is one, else coco2017 or open-images-v6 in it; DATADIR is
                       /datasets)
  PRETRAINED_BACKBONE  ImageNet weights (default: the published ones in PRETRAINED_DIR, or in hub/checkpoints of
                       BACKBONE_DIR or TORCH_HOME; that is backbones in DATADIR); none: without
  RESULTS_DIR          where the run folder goes (default: /results)
  EVALBATCHSIZE        images per evaluation batch (default: BATCHSIZE)
  ASYNC_EVAL           1: score in another process while training goes on (default: 1; RetinaNet: 0)
  MLPERF_LOG           1: write mlperf.log, which needs the extra mlperf (default: 1)
  SEED                 seed of weights, order and augmentation (default: the recipe's)
  LAUNCHER             horovodrun or mpirun (default: horovodrun)
  BIND                 flags of bind.sh, or off (default: --cpu=node --mem=node)
  SUBMITTER            name in the RESULT line (default: gluon_ssd)

example:
  source scripts/train/configs/config_DGXA100_1x8x114.sh && scripts/train/${0##*/} --dry-run
EOT
}

dry_run=no smoke=${GLUON_SSD_SMOKE:-0} gpus='' rest=()
while (($#)); do
    case $1 in
        --gpus)
            (($# >= 2)) || { echo "error: --gpus: expected a number (see: ${0##*/} --help)" >&2; exit 2; }
            gpus=$2
            shift
            ;;
        --gpus=*) gpus=${1#*=} ;;
        --smoke) smoke=1 ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        *) rest+=("$1") ;;
    esac
    shift
done
[[ $smoke != 1 ]] || NODES=1 GPUS_PER_NODE=1
[[ -z $gpus ]] || GPUS_PER_NODE=$gpus
# shellcheck source=scripts/train/settings.sh
source "$here/settings.sh"
# shellcheck source=scripts/train/start.sh
source "$here/start.sh"

[[ $smoke != 1 ]] || MLPERF_LOG=0 PRETRAINED_BACKBONE=${PRETRAINED_BACKBONE:-none}
: "${DATASET_DIR:=$data}" "${RESULTS_DIR:=/results}" "${EVALBATCHSIZE:=$BATCHSIZE}"
: "${PRETRAINED_BACKBONE:=$PRETRAINED_DIR/$default_backbone}" "${MLPERF_LOG:=1}" "${LAUNCHER:=horovodrun}"
: "${BIND:=--cpu=node --mem=node}" "${SUBMITTER:=gluon_ssd}"
[[ $BIND == off || $BIND == -* ]] || fail "BIND=$BIND: must be off or flags of bind.sh"
output=$RESULTS_DIR/${BENCHMARK}_${NODES}x${GPUS_PER_NODE}x${BATCHSIZE}_$DATESTAMP

params=(--batch-size "$BATCHSIZE" --eval-batch-size "$EVALBATCHSIZE")
if [[ $BENCHMARK == ssd ]]; then
    params+=(--system ssd_main --epochs "${NUMEPOCHS:-80}" --log-interval "${LOG_INTERVAL:-100}"
        --coco-root "$DATASET_DIR" --results "$output" --data-layout "${DATA_LAYOUT:-NHWC}")
    [[ ${ASYNC_EVAL:-1} != 1 ]] || params+=(--async-val)
    [[ -z ${DALI_WORKERS:-} ]] || params+=(--dali-workers "$DALI_WORKERS")
else
    params+=(--system retinanet --epochs "${NUMEPOCHS:-8}" --print-freq "${LOG_INTERVAL:-20}"
        --dataset-path "$DATASET_DIR" --output-dir "$output" --lr "${LR:-0.0001}"
        --warmup-epochs "${WARMUP_EPOCHS:-1}")
    [[ ${ASYNC_EVAL:-0} != 1 ]] || params+=(--async-coco)
fi
[[ $PRETRAINED_BACKBONE == none ]] || params+=(--pretrained-backbone "$PRETRAINED_BACKBONE")
[[ -z ${SEED:-} ]] || params+=(--seed "$SEED")
[[ $MLPERF_LOG != 1 ]] || params+=(--mlperf-log)
# EXTRA_PARAMS is a list of words, as the published configurations write it.
read -r -d '' -a extra <<<"${EXTRA_PARAMS:-}" || true
params+=("${extra[@]}")
if [[ $smoke == 1 ]]; then
    set_smoke_flags "$BENCHMARK" "$GPUS_PER_NODE" "${extra[*]}"
    params+=("${smoke_flags[@]}")
fi

export GPUS_PER_NODE
[[ $SYSTEM == unknown ]] || export MLPERF_SUBMISSION_PLATFORM=${MLPERF_SUBMISSION_PLATFORM:-$SYSTEM}
command=("${PYTHON:-python}" -u -m gluon_ssd.main "${params[@]}" "${rest[@]}")
if [[ $BIND != off && $GPUS_PER_NODE -gt 1 ]]; then
    read -r -a bind <<<"$BIND"
    command=("$here/bind.sh" "${bind[@]}" -- "${command[@]}")
fi
processes=$((NODES * GPUS_PER_NODE))
if ((NODES > 1 && ${SLURM_STEP_NUM_TASKS:-1} == 1)) && [[ -z ${HOSTS:-} ]]; then
    # A dry run shows what each of run.sub's tasks does.
    [[ $dry_run == yes ]] ||
        fail "$NODES hosts: start it by run.sub, or name them: HOSTS=host1:$GPUS_PER_NODE,host2:$GPUS_PER_NODE"
elif ((${SLURM_STEP_NUM_TASKS:-1} == 1 && processes > 1)); then
    [[ $LAUNCHER == horovodrun || $LAUNCHER == mpirun ]] || fail "LAUNCHER=$LAUNCHER: must be horovodrun or mpirun"
    set_launch "$LAUNCHER" "$processes"
    command=("${launch[@]}" "${command[@]}")
fi
if [[ $dry_run == yes ]]; then
    run "${command[@]}"
    exit
fi

# Of many processes the first one reports.
report() {
    [[ ${SLURM_PROCID:-0} != 0 ]] || echo "$@"
}

start=$(date +%s) started=$(date '+%Y-%m-%d %r')
report "STARTING TIMING RUN AT $started"
# A signal ends a training once its state is saved. So this script passes on what it alone may have got, and waits:
# when the first process of a task has ended, Slurm and docker kill the others.
set -m
"${command[@]}" &
training=$!
for signal in INT TERM; do
    # shellcheck disable=SC2064  # the number and the name are known now
    trap "kill -s $signal -- -$training 2>/dev/null || true" "$signal"
done
status=0
wait "$training" || status=$?
# A signal ends a wait, not the training.
while kill -0 "$training" 2>/dev/null; do
    status=0
    wait "$training" || status=$?
done
((status == 0)) || exit "$status"
report "ENDING TIMING RUN AT $(date '+%Y-%m-%d %r')"
report "RESULT,SINGLE_STAGE_DETECTOR,,$(($(date +%s) - start)),$SUBMITTER,$started"
