# shellcheck shell=bash
# Fujitsu, MLPerf v1.1: SSD on a PRIMERGY GX2460 M1, global batch 456.
# To be sourced before run_and_time.sh, run.sub or run_with_docker.sh.

# The training.
export BENCHMARK=ssd
export BATCHSIZE=114 EVALBATCHSIZE=114
export NUMEPOCHS=${NUMEPOCHS:-65}
export EXTRA_PARAMS="--lr-warmup-epoch=3 --lr=0.003157 --weight-decay=1.3e-4 --dali-workers=4 --input-jpg-decode=cache"

# The machine: the neutral names, and those of the published configuration.
export NODES=1 GPUS_PER_NODE=4
export PGNNODES=$NODES PGNGPU=$GPUS_PER_NODE
export PGSOCKETCORES=16 PGNSOCKET=2 PGHT=2
SYSTEM=$(basename "${BASH_SOURCE[0]}" .sh)
export SYSTEM=${SYSTEM#config_}
export PGSYSTEM=$SYSTEM

# Minutes for the Slurm job.
export NEXP=${NEXP:-1}
export WALLTIME_MINUTES=20
export WALLTIME=$((NEXP * WALLTIME_MINUTES))
