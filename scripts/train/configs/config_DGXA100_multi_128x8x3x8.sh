# shellcheck shell=bash
# NVIDIA, MLPerf v1.1: SSD on 128 DGX A100, global batch 3,072, batch norm over 8.
# To be sourced before run_and_time.sh, run.sub or run_with_docker.sh.

# The training.
export BENCHMARK=ssd
export BATCHSIZE=3 EVALBATCHSIZE=5
export NUMEPOCHS=${NUMEPOCHS:-90}
export EXTRA_PARAMS="--lr-decay-epochs 68 85 --lr-warmup-epoch=35 --lr=0.004 --weight-decay=4e-5 --bn-group=8 --input-jpg-decode=cache --input-batch-multiplier=20"

# The machine: the neutral names, and those of the published configuration.
export NODES=128 GPUS_PER_NODE=8
export DGXNNODES=$NODES DGXNGPU=$GPUS_PER_NODE
export DGXSOCKETCORES=48 DGXNSOCKET=2 DGXHT=1
SYSTEM=$(basename "${BASH_SOURCE[0]}" .sh)
export SYSTEM=${SYSTEM#config_}
export DGXSYSTEM=$SYSTEM

# Minutes for the Slurm job.
export NEXP=${NEXP:-1}
export WALLTIME_MINUTES=15
export WALLTIME=$((NEXP * WALLTIME_MINUTES))
