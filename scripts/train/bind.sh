#!/usr/bin/env bash
# Runs a process of a rank on the cores and the memory that are near its GPU.
set -euo pipefail
# shellcheck source=scripts/shell.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../shell.sh"

usage() {
    cat <<EOT
usage: ${0##*/} [--cpu MODE] [--mem MODE] [--ib MODE] [--dry-run] [--help] [--] COMMAND [ARGUMENT ...]

Expects one process for each GPU and takes its number on this host from LOCAL_RANK, HOROVOD_LOCAL_RANK,
OMPI_COMM_WORLD_LOCAL_RANK, MPI_LOCALRANKID or SLURM_LOCALID. Ranks are spread evenly over the NUMA nodes, in order.
Without numactl the command runs unbound.

  --cpu MODE  node: all cores of the rank's NUMA node (default); exclusive: its own share of them, with their
              hyperthreads; exclusive,nosmt: without; off
  --mem MODE  node: memory of the rank's NUMA node (default); off
  --ib MODE   single: one InfiniBand device for each rank, of those that ibstat lists; off (default)
  --dry-run   print the command
  --help      show this

environment:
  GPUS_PER_NODE  ranks on this host, if the launcher does not tell (default: the GPUs that nvidia-smi lists)

example:
  horovodrun -np 8 ${0##*/} --cpu exclusive -- gluon-ssd train --recipe ssd_resnet34/mlperf --data /datasets/coco2017
EOT
}

lscpu_value() {
    LC_ALL=C lscpu | awk -F: -v key="$1" '$1 == key { gsub(/ /, "", $2); print $2; exit }'
}

cpu=node mem=node ib=off dry_run=no
while (($#)); do
    case $1 in
        --cpu | --mem | --ib)
            (($# >= 2)) || fail "$1: expected a mode (see: ${0##*/} --help)"
            set -- "$1=$2" "${@:3}"
            continue
            ;;
        --cpu=*) cpu=${1#*=} ;;
        --mem=*) mem=${1#*=} ;;
        --ib=*) ib=${1#*=} ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        -*) fail "unknown argument $1 (see: ${0##*/} --help)" ;;
        *) break ;;
    esac
    shift
done
(($#)) || fail "give a command (see: ${0##*/} --help)"
[[ $cpu =~ ^(node|exclusive|exclusive,nosmt|off)$ ]] || fail "--cpu $cpu: must be node, exclusive, exclusive,nosmt or off"
[[ $mem =~ ^(node|off)$ ]] || fail "--mem $mem: must be node or off"
[[ $ib =~ ^(single|off)$ ]] || fail "--ib $ib: must be single or off"

for rank in "${LOCAL_RANK:-}" "${HOROVOD_LOCAL_RANK:-}" "${OMPI_COMM_WORLD_LOCAL_RANK:-}" "${MPI_LOCALRANKID:-}" \
    "${SLURM_LOCALID:-}"; do
    [[ -z $rank ]] || break
done
[[ $rank =~ ^[0-9]+$ ]] || fail "no local rank in the environment; start it by horovodrun, mpirun or srun"
for ranks in "${HOROVOD_LOCAL_SIZE:-}" "${OMPI_COMM_WORLD_LOCAL_SIZE:-}" "${MPI_LOCALNRANKS:-}" "${GPUS_PER_NODE:-}"; do
    [[ -z $ranks ]] || break
done
if [[ -z $ranks ]]; then
    command -v nvidia-smi >/dev/null || fail "no nvidia-smi to count the GPUs with; set GPUS_PER_NODE"
    ranks=$(nvidia-smi --list-gpus | wc -l)
fi
[[ $ranks =~ ^[1-9][0-9]*$ ]] || fail "GPUS_PER_NODE=$ranks: expected a number from 1"
((rank < ranks)) || fail "local rank $rank, but $ranks GPUs on this host; set GPUS_PER_NODE"

binding=()
if command -v numactl >/dev/null; then
    numa_nodes=$(lscpu_value 'NUMA node(s)')
    cores=$(($(lscpu_value 'Socket(s)') * $(lscpu_value 'Core(s) per socket')))
    numa_nodes=${numa_nodes:-1}
    node=$((rank * numa_nodes / ranks))
    share=$((cores / ranks))
    first=$((rank * share)) last=$(((rank + 1) * share - 1))
    # Fewer cores than ranks cannot be shared out.
    [[ $cpu != exclusive* || $share -gt 0 ]] || cpu=node
    case $cpu in
        node) binding+=("--cpunodebind=$node") ;;
        exclusive,nosmt) binding+=("--physcpubind=$first-$last") ;;
        exclusive)
            if (($(lscpu_value 'Thread(s) per core') > 1)); then
                # Linux numbers the second threads of all cores after the first ones.
                binding+=("--physcpubind=$first-$last,$((first + cores))-$((last + cores))")
            else
                binding+=("--physcpubind=$first-$last")
            fi
            ;;
    esac
    [[ $mem == off ]] || binding+=("--membind=$node")
fi
if [[ $ib == single ]] && command -v ibstat >/dev/null; then
    mapfile -t devices < <(ibstat -l | sort -V)
    if ((${#devices[@]})); then
        device=${devices[rank * ${#devices[@]} / ranks]}
        export UCX_NET_DEVICES=${UCX_NET_DEVICES:-$device:1} NCCL_IB_HCA=${NCCL_IB_HCA:-$device}
    fi
fi

command=("$@")
((${#binding[@]} == 0)) || command=(numactl "${binding[@]}" -- "$@")
become "${command[@]}"
