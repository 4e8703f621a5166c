#!/usr/bin/env bash
# MLPerf's subset of OpenImages v6, in the published layout. Each piece is done once; run again to go on.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# shellcheck source=scripts/datasets/fetch.sh
source "$here/fetch.sh"

readonly FILES=https://storage.googleapis.com/openimages
readonly IMAGES=https://open-images-dataset.s3.amazonaws.com
# Split, where it goes, path on the server.
readonly PIECES="
validation labels/detections.csv v5/validation-annotations-bbox.csv
validation metadata/classes.csv v5/class-descriptions-boxable.csv
validation metadata/hierarchy.json 2018_04/bbox_labels_600_hierarchy.json
validation metadata/image_ids.csv 2018_04/validation/validation-images-with-rotation.csv
train labels/detections.csv v6/oidv6-train-annotations-bbox.csv
train metadata/classes.csv v5/class-descriptions-boxable.csv
train metadata/hierarchy.json 2018_04/bbox_labels_600_hierarchy.json
train metadata/image_ids.csv 2018_04/train/train-images-boxable-with-rotation.csv
"

usage() {
    cat <<EOF
usage: ${0##*/} [DESTINATION] [--only train|validation] [--with csv|fiftyone] [--workers N] [--dry-run] [--help]

Downloads the images of OpenImages v6 that have a box of MLPerf's 264 classes (train 1,170,301, validation 24,781:
352 GB) and writes {train,validation}/labels/openimages-mlperf.json and info.json. What is complete is not done again.

  DESTINATION              default: /datasets/open-images-v6; also -d or --dataset-path DESTINATION
  --only train|validation  one split alone
  --with csv               from the official CSV files (default); needs nothing but gluon_ssd
  --with fiftyone          through fiftyone, as MLPerf's reference does: pip install fiftyone==0.15.1
                           (v2.0) or fiftyone==1.2.0 (v5.1)
  --workers N              images fetched at a time (default: 32)
  --dry-run                print the commands, run none
  --help                   show this

environment:
  GLUON_SSD_MIRROR  a folder or the start of a URL that has v5/, v6/, 2018_04/, train/ and validation/, instead of
                    $FILES
                    and $IMAGES

example:
  ${0##*/} /datasets/open-images-v6 --only validation
EOF
}

# Brings one file to its place by way of .part; a CSV that was cut off does not get its name.
get_file() {
    local target=$destination/$1 path=$2
    if [[ -f $target ]]; then
        echo "# $target is complete"
        return
    fi
    make_folder "$(dirname "$target")"
    download "${GLUON_SSD_MIRROR:-$FILES}/$path" "$target.part"
    run mv "$target.part" "$target"
}

get_split() {
    local split=$1 one part path
    if [[ -f $destination/$split/labels/openimages-mlperf.json ]]; then
        echo "# $destination/$split/labels/openimages-mlperf.json is complete"
        return
    fi
    while read -r one part path; do
        [[ $one != "$split" ]] || get_file "$split/$part" "$path"
    done <<<"$PIECES"
    run "$python" "$here/openimages_mlperf.py" images "$destination/$split" \
        "${GLUON_SSD_MIRROR:-$IMAGES}/$split" --workers "$workers"
    run "$python" "$here/openimages_mlperf.py" labels "$destination/$split"
    run "$python" "$here/openimages_mlperf.py" info "$destination"
}

with_fiftyone() {
    local split missing=()
    for split in "${splits[@]}"; do
        if [[ -f $destination/$split/labels/openimages-mlperf.json ]]; then
            echo "# $destination/$split/labels/openimages-mlperf.json is complete"
        else
            missing+=("$split")
        fi
    done
    ((${#missing[@]} == 0)) || run "$python" "$here/fiftyone_openimages.py" "$destination" "${missing[@]}"
}

destination='' only='' with=csv workers=32 dry_run=no
while (($#)); do
    case $1 in
        --only | --with | --workers) (($# > 1)) || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift ;;
        --only=* | --with=* | --workers=*) flag=${1%%=*} && printf -v "${flag#--}" %s "${1#*=}" ;;
        -d | --dataset-path) (($# > 1)) || fail "$1 needs a folder"
            destination=$2
            shift ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        -*) fail "unknown argument $1 (see: ${0##*/} --help)" ;;
        *) [[ -z $destination ]] || fail "a second DESTINATION $1 (see: ${0##*/} --help)"
            destination=$1 ;;
    esac
    shift
done
[[ -z $only || $only == train || $only == validation ]] || fail "--only is train or validation, not $only"
[[ $with == csv || $with == fiftyone ]] || fail "--with is csv or fiftyone, not $with"
[[ $workers =~ ^[1-9][0-9]*$ ]] || fail "--workers is a number from 1, not $workers"
destination=${destination:-/datasets/open-images-v6}
destination=${destination%/}
splits=(validation train)
[[ -z $only ]] || splits=("$only")
python=$(command -v python3 || command -v python) || fail "python3 is not installed"

if [[ $with == fiftyone ]]; then
    with_fiftyone
else
    for split in "${splits[@]}"; do
        get_split "$split"
    done
fi
