#!/usr/bin/env bash
#
# Takes the Dockerfile's steps for the CPU in bare Debian roots, where there is no Docker, and uses what they leave.
#
#     sudo tests/clean_room.sh            everything: up to an hour on two cores
#     sudo tests/clean_room.sh --quick    the Dockerfile's steps and the quick demo only
#
#   1. A bare Debian by debootstrap, kept for the next run in ~/.cache/googlenet-rcnn/rooms.
#   2. The Dockerfile's stages, each in a copy of that root, by the same RUN, COPY and ENV (tests/dockerfile.py).
#   3. In the last one, as its user: `caffe train` as typed, and the demo at its tiny scale.
#   4. The two commands of the README, make demo and make test, in a third root with git, make and Python.
#
# Steps 2 and 3 take the working tree as Docker does, step 4 takes the last commit.
#
#   --base debian:11    another release of Debian (debian:12)
#   --rooms FOLDER      for the roots, 6 GB; made anew and left there to look at (/var/tmp/clean-rooms)
#
# Needs root, debootstrap, unshare, and the network. This machine's own certificates go into the roots.

set -euo pipefail

unset CDPATH # else cd prints the folder that it goes to
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
# shellcheck source=tests/rooms.sh
source "$root/tests/rooms.sh"
rooms=/var/tmp/clean-rooms base=debian:12 quick=''

# ---- the Dockerfile's steps, as tests/dockerfile.py calls them -----------------------------------------------------

stage() {
    [[ $2 == "$base" ]] || fail "stage $1 is from $2, and this has $base only"
    room=$1
    tell "stage $room"
    make_room "$room"
}

run() {
    printf '   run: %s\n' "${*: -1}"
    inside "$room" "$@"
}

copy() {
    local from=$1 owner=$2 target=$rooms/$room$3 source
    shift 3
    printf '   copy: %s\n' "$*"
    for source in "$@"; do
        if [[ -n $from ]]; then source=$rooms/$from$source; else source=$rooms/context/$source; fi
        if [[ -d $source ]]; then
            mkdir -p "$target"
            cp -a "$source/." "$target"
        else
            mkdir -p "$(dirname "${target}x")"
            cp -a "$source" "$target"
        fi
    done
    if [[ -n $owner ]]; then chroot "$rooms/$room" chown -R "$owner" "${target#"$rooms/$room"}"; fi
}

# Where a container starts.
enter() { entry=("$@"); }

in_container() { inside "$room" "${entry[@]}" -- "$@"; }

# ---- all of it -----------------------------------------------------------------------------------------------------

# As typed; without UCF-101's pairs Caffe makes the net as far as its data, and says that they are missing.
try_caffe() {
    tell "caffe train, as typed"
    in_container caffe train -solver prototxt/solver_rcnn_r.prototxt >"$rooms/train.log" 2>&1 &&
        fail "caffe train has found pairs in the image"
    grep -q 'Solving\|pairs_train01' "$rooms/train.log" || fail "caffe train got nowhere; see $rooms/train.log"
    grep -m 3 'Creating layer\|pairs_train01\|No such file' "$rooms/train.log"
}

take() { [[ $1 == --quick ]] && quick=1; }
read_options "$@"

make_base
make_context "$rooms/context"
steps=$(python3 "$root/tests/dockerfile.py" "$root/Dockerfile" "BASE=$base" "RUNTIME=$base" OPTIONS=--cpu)
# shellcheck source=/dev/null
source <(printf '%s\n' "$steps")
tell "the image's size"
du -sh --one-file-system "$rooms/$room" | cut -f 1
try_caffe
tell "the demo at its tiny scale, as the image's user"
in_container python tools/demo.py --quick --out /tmp/quick

if [[ -z $quick ]]; then
    tell "the README's commands"
    make_room readme
    bare=(readme root /root -- sh -c)
    inside "${bare[@]}" 'apt-get -q update &&
        apt-get -q install -y --no-install-recommends git make python3 ca-certificates'
    git -c safe.directory='*' clone -q "$root" "$rooms/readme/root/googlenet-rcnn"
    for command in "make demo" "make test"; do
        tell "$command"
        inside "${bare[@]}" "cd googlenet-rcnn && $command"
    done
fi
tell "done"
