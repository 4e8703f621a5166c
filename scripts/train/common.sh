# shellcheck shell=bash
# What the training scripts share. Each sets ABOUT, RECIPE and GPUS_DEFAULT (processes), and what its recipe does not
# hold: FLAGS, NODES_DEFAULT, BACKBONE_FILE, DATA_DEFAULT; then it calls: train "$@"

SCRIPT=$(basename "$(readlink -f "$0")" .sh)
: "${DATA_DEFAULT:=/datasets/coco2017}" "${BACKBONE_FILE:=resnet34-333f7ec4.pickle}" "${NODES_DEFAULT:=1}"
declare -a FLAGS=()

# shellcheck source=scripts/train/start.sh
source "$(dirname "${BASH_SOURCE[0]}")/start.sh"

usage() {
    cat <<EOT
usage: $SCRIPT.sh [--data FOLDER] [--pretrained-backbone FILE] [--output FOLDER] [--gpus N] [--nodes N]
       [--launcher NAME] [--smoke] [--dry-run] [--help] [FLAG ...]

$ABOUT
Other flags go on to gluon-ssd train (see: gluon-ssd train --help) and win over the recipe $RECIPE.

  --data FOLDER                data set (environment: DATADIR; default: $DATA_DEFAULT)
  --pretrained-backbone FILE   ImageNet weights (BACKBONE; default: /datasets/backbones/$BACKBONE_FILE)
  --output FOLDER              run folder (default: $SCRIPT in RESULTS, which is /results)
  --gpus N                     processes on each host (GPUS; default: $GPUS_DEFAULT)
  --nodes N                    hosts (NODES; default: $NODES_DEFAULT)
  --launcher NAME              horovodrun, mpirun, srun or none (LAUNCHER; default: what fits)
  --smoke                      three steps with small batches on a CPU, in one process unless --gpus says
                               otherwise (GLUON_SSD_SMOKE=1)
  --dry-run                    print the command
  --help                       show this

Several hosts: inside a Slurm job (salloc, or sbatch --wrap $SCRIPT.sh; SLURM_MPI_TYPE is how srun starts MPI,
default: pmix), or with HOSTS=host1:8,host2:8. A task that srun started is one process.

example:
  $SCRIPT.sh --data /datasets/coco2017 --output /results/first
EOT
}

# Sets the variables from "$@"; what is for gluon-ssd goes to rest.
parse() {
    while (($#)); do
        case $1 in
            --data | --pretrained-backbone | --output | --gpus | --nodes | --launcher)
                (($# >= 2)) || fail "$1: expected a value (see: $SCRIPT.sh --help)"
                set -- "$1=$2" "${@:3}"
                continue
                ;;
            --data=*) data=${1#*=} ;;
            --pretrained-backbone=*) backbone=${1#*=} ;;
            --output=*) output=${1#*=} ;;
            --gpus=*) gpus=${1#*=} ;;
            --nodes=*) nodes=${1#*=} ;;
            --launcher=*) launcher=${1#*=} ;;
            --smoke) smoke=1 ;;
            --dry-run) dry_run=yes ;;
            -h | --help) usage; exit 0 ;;
            *) rest+=("$1") ;;
        esac
        shift
    done
}

# Puts what starts the processes into launch, whatever fits where no launcher is named.
choose_launch() {
    local processes
    [[ $gpus =~ ^[1-9][0-9]*$ && $nodes =~ ^[1-9][0-9]*$ ]] || fail "--gpus and --nodes: expected numbers from 1"
    processes=$((gpus * nodes))
    if [[ -z $launcher ]]; then
        # Only srun's tasks know the size of their step; the job's own script knows just that of the job.
        if ((${SLURM_STEP_NUM_TASKS:-1} > 1 || processes == 1)); then
            launcher=none
        elif ((nodes == 1)) || [[ -n ${HOSTS:-} ]]; then
            launcher=horovodrun
        elif [[ -n ${SLURM_JOB_ID:-} || $dry_run == yes ]]; then
            launcher=srun
        else
            fail "$nodes hosts: run it in a Slurm job, or name them: HOSTS=host1:$gpus,host2:$gpus $SCRIPT.sh"
        fi
    fi
    case $launcher in
        none) launch=() ;;
        horovodrun | mpirun) set_launch "$launcher" "$processes" ;;
        srun)
            launch=(srun --nodes="$nodes" --ntasks="$processes" --ntasks-per-node="$gpus"
                --mpi="${SLURM_MPI_TYPE:-pmix}")
            ;;
        *) fail "--launcher $launcher: must be one of horovodrun, mpirun, srun, none" ;;
    esac
}

train() {
    local data=${DATADIR:-$DATA_DEFAULT} backbone=${BACKBONE:-} output=${OUTPUT:-} gpus=${GPUS:-} nodes=${NODES:-}
    local launcher=${LAUNCHER:-} smoke=${GLUON_SSD_SMOKE:-0} dry_run=no
    local -a rest=() launch=() smoke_flags=() start=()
    switches GLUON_SSD_SMOKE
    parse "$@"
    if [[ $smoke == 1 ]]; then
        gpus=${gpus:-1} nodes=${nodes:-1}
    else
        gpus=${gpus:-$GPUS_DEFAULT} nodes=${nodes:-$NODES_DEFAULT}
        backbone=${backbone:-/datasets/backbones/$BACKBONE_FILE}
    fi
    choose_launch
    [[ $smoke != 1 ]] || set_smoke_flags "${RECIPE%%_*}" $((gpus * nodes)) "${FLAGS[*]}"
    [[ -z $backbone || $backbone == none ]] || start=(--pretrained-backbone "$backbone")
    become "${launch[@]}" gluon-ssd train --recipe "$RECIPE" --data "$data" "${start[@]}" \
        --output "${output:-${RESULTS:-/results}/$SCRIPT}" "${FLAGS[@]}" "${smoke_flags[@]}" "${rest[@]}"
}
