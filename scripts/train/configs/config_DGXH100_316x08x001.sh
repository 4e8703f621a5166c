# shellcheck shell=bash
# NVIDIA, MLPerf v4.0: RetinaNet on 316 DGX H100, global batch 2,528.
# To be sourced before run_and_time.sh, run.sub or run_with_docker.sh.

# The training.
export BENCHMARK=retinanet
export BATCHSIZE=1 EVALBATCHSIZE=8
export NUMEPOCHS=${NUMEPOCHS:-12}
export LR=0.000135 WARMUP_EPOCHS=1
export EXTRA_PARAMS="--dali --dali-matched-idxs --async-coco --master-weights --dali-decoder-hw-load=0.99 --dali-input-batch-multiplier=16 --workers=32"

# The machine: the neutral names, and those of the published configuration.
export NODES=316 GPUS_PER_NODE=8
export DGXNNODES=$NODES DGXNGPU=$GPUS_PER_NODE
export DGXSOCKETCORES=64 DGXNSOCKET=2 DGXHT=2
SYSTEM=$(basename "${BASH_SOURCE[0]}" .sh)
export SYSTEM=${SYSTEM#config_}
export DGXSYSTEM=$SYSTEM

# Minutes for the Slurm job.
export NEXP=${NEXP:-1}
export WALLTIME_MINUTES=30
export WALLTIME=$((NEXP * WALLTIME_MINUTES))
