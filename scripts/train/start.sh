# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those who source this
# What the training scripts and run_and_time.sh share: what starts the processes, and what makes a run short.

# shellcheck source=scripts/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

# Puts into launch what starts $2 processes by the launcher $1; HOSTS says where, if not here.
set_launch() {
    case $1 in
        horovodrun) launch=(horovodrun -np "$2" ${HOSTS:+-H "$HOSTS"}) ;;
        # What mpirun binds by itself would leave each process one core.
        mpirun) launch=(mpirun -np "$2" ${HOSTS:+-H "$HOSTS"} --bind-to none --map-by slot) ;;
    esac
}

# Puts into smoke_flags what makes three steps and an evaluation out of a recipe of the family $1 (ssd, retinanet),
# for $2 processes. Two batches are an epoch, one if images without objects are among them. Half precision and NHWC
# stay: a CPU computes them, slowly. $3: the recipe's own flags.
set_smoke_flags() {
    local batch=2
    [[ $1 == ssd ]] || batch=1
    smoke_flags=(--epochs 3 --max-steps 3 --batch-size "$batch" --eval-batch-size 2 --limit-val 4
        --limit-train $((2 * batch * $2)) --decay-epochs --eval-epochs 1 --warmup-epochs 0 --warmup-steps 2
        --log-every 1 --workers 1 --device cpu --data-pipeline native --input-jpg-decode cpu)
    [[ " $3 " != *" --bn-group"[\ =]* ]] || smoke_flags+=(--bn-group "$2")
    [[ $1 == ssd ]] || smoke_flags+=(--input-size 128 128)
}
