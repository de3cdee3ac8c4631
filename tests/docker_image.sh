#!/usr/bin/env bash
#
# Builds the Dockerfile's image for the CPU as it stands, by buildah, where there is no Docker, and uses it as its user.
#
#     sudo tests/docker_image.sh                      half an hour on two cores
#     sudo tests/docker_image.sh --base debian:13
#
#   1. A bare Debian by debootstrap, committed under the name of Docker's image of it; nothing is pulled.
#   2. `buildah build` of the last commit, with that as BASE and RUNTIME, OPTIONS=--cpu and the network.
#   3. The image's size by part.
#   4. In it, as uid 1000: `caffe train` as typed, and the quick demo; then a program that writes into a mounted folder,
#      also as another user (docker run --user), and into one that it may not write, which is told in one line.
#
#   --base debian:13    another release of Debian (debian:12)
#   --rooms FOLDER      for all that is made, 8 GB; left there to look at (/var/tmp/docker-image)
#
# Needs root, buildah, debootstrap and the network. This machine's own certificates go into the bare Debian.

set -euo pipefail

unset CDPATH # else cd prints the folder that it goes to
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
# shellcheck source=tests/rooms.sh
source "$root/tests/rooms.sh"
rooms=/var/tmp/docker-image base=debian:12

# vfs and chroot: the storage and the isolation that need nothing of the kernel, as in a container.
buildah_here() {
    BUILDAH_ISOLATION=chroot buildah --storage-driver vfs --root "$rooms/storage" --runroot "$rooms/running" "$@"
}

# A program in the image with folder $1 of the machine as data, as its user or as the user that $2 names.
with_data() {
    local data=$1 user=$2
    shift 2
    buildah_here run ${user:+--user "$user"} --volume "$data:/opt/googlenet-rcnn/data" "$container" -- "$@"
}

take() { false; }
read_options "$@"
command -v buildah >/dev/null || fail "buildah is missing; apt-get install buildah"

make_base
tell "$base as an image"
make_room base
tar -C "$rooms/base" -cf "$rooms/base.tar" . # of a folder buildah would change the owners
scratch=$(buildah_here from scratch)
buildah_here add -q "$scratch" "$rooms/base.tar" /
buildah_here config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt --env PIP_DEFAULT_TIMEOUT=180 --cmd bash "$scratch"
buildah_here commit -q --rm "$scratch" "docker.io/library/$base"

tell "the Dockerfile"
rm -rf "$rooms/context"
git -c safe.directory='*' clone -q "$root" "$rooms/context"
buildah_here build --pull-never --network host --build-arg "BASE=$base" --build-arg "RUNTIME=$base" \
    --build-arg OPTIONS=--cpu --tag googlenet-rcnn "$rooms/context"

container=$(buildah_here from --pull-never googlenet-rcnn)
mounted=$(buildah_here mount "$container")
tell "the image's size in MB: bare Debian, all, Debian's part, Caffe, .venv, its largest; Debian's largest in KB"
du -xsm "$rooms/base"
(
    cd "$mounted"
    for part in . usr opt/cache opt/googlenet-rcnn/.venv; do du -xsm "$part"; done
    { du -xsm opt/googlenet-rcnn/.venv/lib/python3*/site-packages/* | sort -rn | head -n 12; } || true
)
# shellcheck disable=SC2016  # dpkg-query's own names
chroot "$mounted" dpkg-query -W -f '${Installed-Size} ${Package}\n' | sort -rn | head -n 12 || true

tell "caffe train, as typed"
buildah_here run "$container" -- caffe train -solver prototxt/solver_rcnn_r.prototxt >"$rooms/train.log" 2>&1 &&
    fail "caffe train has found pairs in the image"
grep -m 1 'pairs_train01' "$rooms/train.log" || fail "caffe train got nowhere; see $rooms/train.log"

tell "the demo at its tiny scale"
buildah_here run "$container" -- sh -c 'id -u && python tools/demo.py --quick --out /tmp/quick'

tell "folders of the machine as data: of uid 1000, of another user who says so, of another user who does not"
make=(googlenet-rcnn make-motion-videos --appearances Flowers --movements Up --groups 2 --out data/videos)
for owner in 1000 1234 0; do rm -rf "$rooms/data$owner" && install -d -o "$owner" "$rooms/data$owner"; done
with_data "$rooms/data1000" "" "${make[@]}"
with_data "$rooms/data1234" 1234:1234 "${make[@]}"
if with_data "$rooms/data0" "" "${make[@]}" 2>"$rooms/refused.log"; then
    fail "uid 1000 wrote into a folder of root"
fi
said=$(grep -v '^subprocess exited\|^Error: exit status' "$rooms/refused.log") # the other lines are buildah's
printf '%s\n' "$said"
[[ $said == *"Permission denied"* && $said != *$'\n'* ]] || fail "that is not the one line that it should be"
tell "done"
