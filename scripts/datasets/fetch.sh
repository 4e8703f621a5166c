# shellcheck shell=bash
# What the scripts of this folder share: downloads that go on where they stopped.

# shellcheck source=scripts/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

# download SOURCE TARGET: a URL, or a file of a mirror, to TARGET, from where an earlier call left it.
download() {
    local source=$1 target=$2
    if [[ $source != http://* && $source != https://* ]]; then
        [[ ${dry_run:-no} == yes || -f $source ]] || fail "$source: no such file in the mirror"
        run cp "$source" "$target"
    elif command -v curl >/dev/null; then
        # 33: the server cannot begin in the middle, so from the start.
        run curl --fail --location --progress-bar --continue-at - --output "$target" "$source" ||
            { (($? == 33)) && run curl --fail --location --progress-bar --output "$target" "$source"; }
    elif command -v wget >/dev/null; then
        run wget --continue --output-document "$target" "$source"
    else
        fail "neither curl nor wget is installed"
    fi || fail "$source: cannot be downloaded; run again to go on, or set GLUON_SSD_MIRROR"
}
