# shellcheck shell=bash
# NVIDIA, MLPerf v2.0: RetinaNet on a DGX A100, global batch 256, without warm-up.
# To be sourced before run_and_time.sh, run.sub or run_with_docker.sh.

# The training.
export BENCHMARK=retinanet
export BATCHSIZE=32 EVALBATCHSIZE=32
export NUMEPOCHS=${NUMEPOCHS:-8}
export LR=0.000085 WARMUP_EPOCHS=0
export EXTRA_PARAMS="--fp16-allreduce --dali --dali-matched-idxs"

# The machine: the neutral names, and those of the published configuration.
export NODES=1 GPUS_PER_NODE=8
export DGXNNODES=$NODES DGXNGPU=$GPUS_PER_NODE
export DGXSOCKETCORES=40 DGXNSOCKET=2 DGXHT=2
SYSTEM=$(basename "${BASH_SOURCE[0]}" .sh)
export SYSTEM=${SYSTEM#config_}
export DGXSYSTEM=$SYSTEM

# Minutes for the Slurm job.
export NEXP=${NEXP:-1}
export WALLTIME_MINUTES=160
export WALLTIME=$((NEXP * WALLTIME_MINUTES))
