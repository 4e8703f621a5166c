# shellcheck shell=bash
# What the get_*_backbone.sh share: download a torchvision classifier, check it, convert its backbone.
# Sourced by them; each then calls: get_backbone NAME FILE, where FILE ends in "-" and its SHA-256's start.

# shellcheck source=scripts/datasets/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

readonly HOST=https://download.pytorch.org/models
readonly DEFAULT_IMAGE=gluon_ssd:latest

usage() {
    cat <<EOF
usage: ${0##*/} [--output FOLDER] [--docker] [--dry-run] [--help]

Downloads torchvision's $1 ($2), checks its SHA-256 and converts the
backbone to ${2%.pth}.pickle for: gluon-ssd train --pretrained-backbone FILE

  --output FOLDER  where both files go (default: the current folder)
  --docker         convert in a container instead of with the gluon-ssd that is installed
  --dry-run        print the commands, run none
  --help           show this

environment:
  GLUON_SSD_MIRROR  a folder or the start of a URL to take the file from instead
  GLUON_SSD_IMAGE   the image for --docker (else that of scripts/docker/config.sh, else $DEFAULT_IMAGE)

example:
  ${0##*/} --output /datasets/backbones
EOF
}

has_digest() {
    [[ -f $1 && $(sha256sum "$1" | cut -c "1-${#2}") == "$2" ]]
}

# Downloads to FILE.part, and renames it once its digest is right.
fetch() {
    local folder=$1 file=$2 digest=$3 part=$1/$2.part
    has_digest "$folder/$file" "$digest" && return
    has_digest "$part" "$digest" || download "${GLUON_SSD_MIRROR:-$HOST}/$file" "$part"
    if [[ $dry_run == yes ]]; then
        echo "sha256sum $(printf %q "$part")  # must start with $digest"
    elif ! has_digest "$part" "$digest"; then
        rm -f "$part"
        fail "$file: what came is not the published file; its SHA-256 does not start with $digest"
    fi
    run mv "$part" "$folder/$file"
}

image() {
    local config
    config=$(dirname "${BASH_SOURCE[0]}")/../docker/config.sh
    if [[ -z ${GLUON_SSD_IMAGE:-} && -f $config ]]; then
        # shellcheck source=/dev/null
        source "$config"
    fi
    echo "${GLUON_SSD_IMAGE:-$DEFAULT_IMAGE}"
}

convert() {
    local folder=$1 file=$2
    if [[ $docker == yes ]]; then
        [[ $dry_run == yes ]] || command -v docker >/dev/null || fail "docker is not installed; leave out --docker"
        run docker run --rm --user "$(id -u):$(id -g)" --volume "$folder:/backbones" "$(image)" \
            gluon-ssd convert "/backbones/$file" "/backbones/${file%.pth}.pickle"
    else
        [[ $dry_run == yes ]] || command -v gluon-ssd >/dev/null ||
            fail "gluon-ssd is not installed; pip install it, or convert in a container with --docker"
        run gluon-ssd convert "$folder/$file" "$folder/${file%.pth}.pickle"
    fi
}

get_backbone() {
    local name=$1 file=$2 folder=. docker=no dry_run=no digest
    shift 2
    while (($#)); do
        case $1 in
            --output) (($# > 1)) || fail "--output needs a folder"; folder=$2; shift ;;
            --output=*) folder=${1#*=} ;;
            --docker) docker=yes ;;
            --dry-run) dry_run=yes ;;
            -h | --help) usage "$name" "$file"; exit 0 ;;
            *) fail "unknown argument $1 (see: ${0##*/} --help)" ;;
        esac
        shift
    done
    digest=${file##*-}
    digest=${digest%.pth}
    [[ $folder == /* ]] || folder=$PWD/${folder#./}
    folder=${folder%/.}
    make_folder "$folder"
    fetch "$folder" "$file" "$digest"
    convert "$folder" "$file"
}
