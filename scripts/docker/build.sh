#!/usr/bin/env bash
# Builds the image that launch.sh runs.
set -euo pipefail
# shellcheck source=scripts/docker/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

usage() {
    cat <<EOT
usage: ${0##*/} [--cpu | --serve] [--dry-run] [--help] [-- DOCKER_ARGUMENT ...]

Builds $GLUON_SSD_IMAGE on $GLUON_SSD_BASE_IMAGE.

  --cpu      $GLUON_SSD_CPU_IMAGE on $GLUON_SSD_CPU_BASE_IMAGE, for machines without a GPU
  --serve    $GLUON_SSD_SERVE_IMAGE on the same, which serves a detector (docs/serving.md)
  --dry-run  print the command
  --help     show this

Names of images: scripts/docker/config.sh, or GLUON_SSD_IMAGE and its siblings in the environment.

example:
  ${0##*/} -- --pull --no-cache
EOT
}

dry_run=no image=$GLUON_SSD_IMAGE base=$GLUON_SSD_BASE_IMAGE file=Dockerfile
while (($#)); do
    case $1 in
        --cpu) image=$GLUON_SSD_CPU_IMAGE base=$GLUON_SSD_CPU_BASE_IMAGE file=Dockerfile.cpu ;;
        --serve) image=$GLUON_SSD_SERVE_IMAGE base=$GLUON_SSD_CPU_BASE_IMAGE file=Dockerfile.serve ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        *) fail "unknown argument $1 (see: ${0##*/} --help)" ;;
    esac
    shift
done
need docker
run docker build "$@" --build-arg "BASE_IMAGE=$base" --tag "$image" \
    --file "$REPOSITORY/scripts/docker/$file" "$REPOSITORY"
