# shellcheck shell=bash
# NVIDIA, MLPerf v1.1: SSD on 8 DGX A100, global batch 1,536, batch norm over pairs.
# To be sourced before run_and_time.sh, run.sub or run_with_docker.sh.

# The training.
export BENCHMARK=ssd
export BATCHSIZE=24 EVALBATCHSIZE=24
export NUMEPOCHS=${NUMEPOCHS:-70}
export EXTRA_PARAMS="--lr-decay-epochs 48 60 --lr-warmup-epoch=15 --lr=0.004 --weight-decay=1.7e-4 --dali-workers=8 --bn-group=2 --input-jpg-decode=cache"

# The machine: the neutral names, and those of the published configuration.
export NODES=8 GPUS_PER_NODE=8
export DGXNNODES=$NODES DGXNGPU=$GPUS_PER_NODE
export DGXSOCKETCORES=64 DGXNSOCKET=2 DGXHT=2
SYSTEM=$(basename "${BASH_SOURCE[0]}" .sh)
export SYSTEM=${SYSTEM#config_}
export DGXSYSTEM=$SYSTEM

# Minutes for the Slurm job.
export NEXP=${NEXP:-1}
export WALLTIME_MINUTES=20
export WALLTIME=$((NEXP * WALLTIME_MINUTES))
