# Bare Debian roots by debootstrap, and commands in them. Sourced by scripts here and by benchmarks/gpu.sh, which set
# $root (the repository), $rooms (a folder for the roots), $base (of `releases`), and may set $bound to a folder of the
# machine that commands in a root are to see.
# shellcheck shell=bash disable=SC2154  # variables that the other file sets

declare -rA releases=([debian:11]=bullseye [debian:12]=bookworm [debian:13]=trixie)

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

tell() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

# The head of the script.
usage() { awk 'NR > 2 && /^#/ {sub(/^# ?/, ""); print; next} NR > 2 {exit}' "$0"; }

# Options and checks of the scripts that make rooms; `take` of the script says whether it knows another option.
read_options() {
    while (($#)); do
        case $1 in
            --base | --rooms)
                [[ -n ${2:-} ]] || fail "$1: its value is missing (see --help)"
                if [[ $1 == --base ]]; then base=$2; else rooms=$(realpath -m -- "$2"); fi
                shift
                ;;
            -h | --help) usage && exit 0 ;;
            *) take "$1" || fail "unknown argument: $1 (see --help)" ;;
        esac
        shift
    done
    check_rooms
}

check_rooms() {
    [[ -n ${releases[$base]:-} ]] || fail "--base $base: known are ${!releases[*]}"
    ((EUID == 0)) || fail "only root can make and enter other roots; run it with sudo"
    for program in debootstrap unshare chroot git python3; do
        command -v "$program" >/dev/null ||
            fail "$program is missing; apt-get install debootstrap git python3 util-linux"
    done
    mkdir -p "$rooms"
}

make_base() {
    archive=${XDG_CACHE_HOME:-$HOME/.cache}/googlenet-rcnn/rooms/${base/:/-}.tar
    [[ ! -f $archive ]] || return 0
    tell "debootstrap ${releases[$base]}"
    mkdir -p "$(dirname "$archive")" "$rooms"
    rm -rf --one-file-system "$rooms/base"
    debootstrap --variant=minbase "${releases[$base]}" "$rooms/base" >"$rooms/debootstrap.log" 2>&1 ||
        fail "debootstrap failed; see $rooms/debootstrap.log"
    rm -rf "$rooms"/base/var/cache/apt/archives/*.deb
    tar -C "$rooms/base" -cf "$archive.partial" .
    mv "$archive.partial" "$archive"
    rm -rf --one-file-system "$rooms/base"
}

make_room() {
    rm -rf --one-file-system "${rooms:?}/$1"
    mkdir -p "$rooms/$1"
    tar -C "$rooms/$1" -xpf "$archive"
    cp /etc/resolv.conf "$rooms/$1/etc/resolv.conf"
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        mkdir -p "$rooms/$1/usr/local/share/ca-certificates"
        cp /usr/local/share/ca-certificates/*.crt "$rooms/$1/usr/local/share/ca-certificates/"
    fi
}

# inside ROOM USER FOLDER VARIABLE=VALUE... -- COMMAND, in namespaces of its own: nothing stays mounted or running.
inside() {
    local room=$rooms/$1 user=$2 folder=$3 variables=() ids
    shift 3
    while [[ $1 != -- ]]; do variables+=("$1") && shift; done
    shift
    mkdir -p "$room$folder"
    ids=$(chroot "$room" id -u "$user"):$(chroot "$room" id -g "$user")
    # shellcheck disable=SC2016  # for the inner shell
    unshare --mount --pid --fork --kill-child sh -c '
        room=$1 folder=$2 ids=$3 bound=$4; shift 4
        mount -t proc proc "$room/proc" && mount --rbind /dev "$room/dev" && mount -t tmpfs tmpfs "$room/run" || exit
        if [ -n "$bound" ]; then mkdir -p "$room$bound" && mount --bind "$bound" "$room$bound" || exit; fi
        exec chroot --userspec="$ids" "$room" sh -c "cd \"\$0\" && exec \"\$@\"" "$folder" "$@"
    ' sh "$room" "$folder" "$ids" "${bound:-}" env -i "HOME=$(home_in "$room" "$user")" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DEFAULT_TIMEOUT=180 "${variables[@]}" "$@"
}

home_in() { chroot "$1" getent passwd "$2" | cut -d : -f 6; }

# The working tree without what git ignores, in folder $1.
make_context() {
    rm -rf "$1"
    mkdir -p "$1"
    git -c safe.directory='*' -C "$root" ls-files -z --cached --others --exclude-standard |
        tar -C "$root" --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -C "$1" -xf -
    chown -R root:root "$1"
}
