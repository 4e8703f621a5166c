# shellcheck shell=bash
# What all scripts share: errors in one line, and dry runs. Sourced by them.

fail() {
    echo "error: $*" >&2
    exit 2
}

# Prints a command as one line that can be pasted into a shell.
show() {
    local line
    printf -v line '%q ' "$@"
    echo "${line% }"
}

# Runs a command, or shows it.
run() {
    if [[ ${dry_run:-no} == yes ]]; then
        show "$@"
    else
        "$@"
    fi
}

# Makes a folder with all above it, or shows that.
make_folder() {
    run mkdir -p "$1" 2>/dev/null || fail "$1: cannot be made"
}

# Fails unless variables, named by the arguments, are 0 or 1 where they are set.
switches() {
    local name
    for name in "$@"; do
        [[ ${!name:-0} =~ ^[01]$ ]] || fail "$name=${!name}: must be 0 or 1"
    done
}

# Becomes a command, or shows it.
become() {
    need "$1"
    [[ ${dry_run:-no} == yes ]] || exec "$@"
    show "$@"
}

# Fails unless a program is there, or only shown.
need() {
    [[ ${dry_run:-no} == yes ]] || command -v "$1" >/dev/null || fail "$1 is not installed"
}
