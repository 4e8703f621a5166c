# shellcheck shell=bash
# MLPerf's reference: RetinaNet on 8 DGX A100, global batch 512.
# To be sourced before run_and_time.sh, run.sub or run_with_docker.sh.

# The training.
export BENCHMARK=retinanet
export BATCHSIZE=8 EVALBATCHSIZE=8
export NUMEPOCHS=${NUMEPOCHS:-8}
export LR=0.0001 WARMUP_EPOCHS=1
export EXTRA_PARAMS="--trainable-backbone-layers 3"

# The machine: the neutral names, and those of the published configuration.
export NODES=8 GPUS_PER_NODE=8
export DGXNNODES=$NODES DGXNGPU=$GPUS_PER_NODE
export DGXSOCKETCORES=64 DGXNSOCKET=2 DGXHT=2
SYSTEM=$(basename "${BASH_SOURCE[0]}" .sh)
export SYSTEM=${SYSTEM#config_}
export DGXSYSTEM=$SYSTEM

# Minutes for the Slurm job.
export NEXP=${NEXP:-1}
export WALLTIME_MINUTES=240
export WALLTIME=$((NEXP * WALLTIME_MINUTES))
