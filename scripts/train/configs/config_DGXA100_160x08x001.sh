# shellcheck shell=bash
# NVIDIA, MLPerf v2.0: RetinaNet on 160 DGX A100, global batch 1,280.
# To be sourced before run_and_time.sh, run.sub or run_with_docker.sh.

# The training.
export BENCHMARK=retinanet
export BATCHSIZE=1 EVALBATCHSIZE=1
export NUMEPOCHS=${NUMEPOCHS:-35}
export LR=0.00012 WARMUP_EPOCHS=1
export EXTRA_PARAMS="--fp16-allreduce --dali --dali-matched-idxs --async-coco"

# The machine: the neutral names, and those of the published configuration.
export NODES=160 GPUS_PER_NODE=8
export DGXNNODES=$NODES DGXNGPU=$GPUS_PER_NODE
export DGXSOCKETCORES=40 DGXNSOCKET=2 DGXHT=2
SYSTEM=$(basename "${BASH_SOURCE[0]}" .sh)
export SYSTEM=${SYSTEM#config_}
export DGXSYSTEM=$SYSTEM

# Minutes for the Slurm job.
export NEXP=${NEXP:-1}
export WALLTIME_MINUTES=45
export WALLTIME=$((NEXP * WALLTIME_MINUTES))
