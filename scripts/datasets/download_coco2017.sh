#!/usr/bin/env bash
# COCO 2017 with the box-only annotation files that training reads. Each piece is done once; run again to go on.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# shellcheck source=scripts/datasets/fetch.sh
source "$here/fetch.sh"

readonly HOST=http://images.cocodataset.org
# Folder it makes, files in there, path on the server, bytes, MD5 as published with MLPerf's reference.
readonly PIECES="
annotations 6 annotations/annotations_trainval2017.zip 252907541 f4bbac642086de4f52a3fdda2de5fa2c
val2017 5000 zips/val2017.zip 815585330 442b8da7639aecaf257c1dceb8ba8c80
train2017 118287 zips/train2017.zip 19336861798 cced6f7f71b7629ddf16f17bbcfab6b2
"

usage() {
    cat <<EOF
usage: ${0##*/} [DESTINATION] [--only train|val] [--downloads FOLDER] [--keep-zips] [--dry-run] [--help]

Downloads COCO 2017 (train2017, val2017, annotations: 20.4 GB), checks size and MD5, unzips, and writes
annotations/bbox_only_instances_{train,val}2017.json. What is complete is not done again, a download goes on where
it stopped, and a folder that was unzipped by half is unzipped again. It needs about 41 GB, of which 21 stay.

  DESTINATION         where train2017/, val2017/ and annotations/ go (default: /datasets/coco2017); also -o or
                      --output-path DESTINATION
  --only train|val    one split alone
  --downloads FOLDER  where the zip files go (default: downloads/ beside DESTINATION); also -d or --download-path
  --keep-zips         do not delete the zip files when they are unzipped
  --dry-run           print the commands for what is missing, run none
  --help              show this

environment:
  GLUON_SSD_MIRROR  a folder or the start of a URL that has zips/ and annotations/, instead of $HOST

example:
  ${0##*/} /datasets/coco2017 --only val
EOF
}

size_of() {
    if [[ -f $1 ]]; then wc -c <"$1"; else echo 0; fi
}

has_md5() {
    [[ $(size_of "$1") -eq $2 && $(md5sum "$1" | cut -d ' ' -f 1) == "$3" ]]
}

# Fetches one zip file to $downloads by way of .part, unless it is there and right.
fetch() {
    local path=$1 bytes=$2 md5=$3 file=$downloads/${1##*/}
    local part=$file.part
    if [[ -f $file ]]; then
        [[ $dry_run == no ]] || return 0
        has_md5 "$file" "$bytes" "$md5" || fail "$file: not the published file ($bytes bytes, MD5 $md5); remove it"
        return
    fi
    make_folder "$downloads"
    (($(size_of "$part") >= bytes)) || download "${GLUON_SSD_MIRROR:-$HOST}/$path" "$part"
    if [[ $dry_run == yes ]]; then
        echo "md5sum $(printf %q "$part")  # must be $md5"
    elif ! has_md5 "$part" "$bytes" "$md5"; then
        local have
        have=$(size_of "$part")
        rm -f "$part"
        fail "$path: what came ($have bytes) is not the published file ($bytes bytes, MD5 $md5); run again"
    fi
    run mv "$part" "$file"
}

# A folder is complete when it has all of its files and no unzipping was broken off.
is_complete() {
    local folder=$destination/$1 count=$2
    [[ -d $folder && ! -e $folder.unzipping ]] || return 1
    (($(find -H "$folder" -maxdepth 1 -type f ! -name '.*' ! -name 'bbox_only_*' | wc -l) >= count))
}

get_piece() {
    local folder=$1 count=$2 path=$3 bytes=$4 md5=$5
    if is_complete "$folder" "$count"; then
        echo "# $destination/$folder is complete"
        return
    fi
    fetch "$path" "$bytes" "$md5"
    make_folder "$destination"
    run touch "$destination/$folder.unzipping"
    run unzip -q -o "$downloads/${path##*/}" -d "$destination" ||
        fail "${path##*/}: cannot be unzipped; is the disk full?"
    run rm "$destination/$folder.unzipping"
    [[ $dry_run == yes ]] || is_complete "$folder" "$count" ||
        fail "$destination/$folder: fewer than $count files came out of ${path##*/}"
    [[ $keep_zips == yes ]] || run rm "$downloads/${path##*/}"
}

box_only() {
    local folder=$destination/annotations
    local source=$folder/instances_$1.json target=$folder/bbox_only_instances_$1.json
    if [[ -f $target ]]; then
        echo "# $target is complete"
    else
        run gluon-ssd prepare-json --keep-keys "$source" "$target"
    fi
}

destination='' downloads='' only='' keep_zips=no dry_run=no
while (($#)); do
    case $1 in
        --only | --downloads) (($# > 1)) || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift ;;
        -d | --download-path) (($# > 1)) || fail "$1 needs a folder"
            downloads=$2
            shift ;;
        -o | --output-path) (($# > 1)) || fail "$1 needs a folder"
            destination=$2
            shift ;;
        --only=* | --downloads=*) flag=${1%%=*} && printf -v "${flag#--}" %s "${1#*=}" ;;
        --keep-zips) keep_zips=yes ;;
        --dry-run) dry_run=yes ;;
        -h | --help) usage; exit 0 ;;
        -*) fail "unknown argument $1 (see: ${0##*/} --help)" ;;
        *) [[ -z $destination ]] || fail "a second DESTINATION $1 (see: ${0##*/} --help)"
            destination=$1 ;;
    esac
    shift
done
[[ -z $only || $only == train || $only == val ]] || fail "--only is train or val, not $only"
destination=${destination:-/datasets/coco2017}
destination=${destination%/}
downloads=${downloads:-$(dirname "$destination")/downloads}

if [[ $dry_run == no ]]; then
    for program in unzip md5sum gluon-ssd; do
        command -v "$program" >/dev/null || fail "$program is not installed"
    done
fi
while read -r folder count path bytes md5; do
    if [[ -n $folder && ($folder == annotations || -z $only || $folder == "${only}2017") ]]; then
        get_piece "$folder" "$count" "$path" "$bytes" "$md5"
    fi
done <<<"$PIECES"
for split in val train; do
    [[ -n $only && $only != "$split" ]] || box_only "${split}2017"
done
