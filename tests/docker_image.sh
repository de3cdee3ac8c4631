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
#   4. In it, as uid 1000: `caffe train` as typed, the quick demo, and programs that write into a mounted folder: one
#      that uid 1000 may write, and one that it may not, which is told in one line.
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

# The size of paths in the image in MB, the largest first.
megabytes() { (cd "$mounted" && du -xsm "$@" 2>/dev/null | sort -rn); }

# What a program says in the image, its data folder from the machine.
with_data() {
    local data=$1
    shift
    buildah_here run --volume "$data:/opt/googlenet-rcnn/data" "$container" -- "$@"
}

take() { false; }
read_options "$@"
command -v buildah >/dev/null || fail "buildah is missing; apt-get install buildah"

make_base
tell "$base as an image"
make_room base
scratch=$(buildah_here from scratch)
buildah_here add -q "$scratch" "$rooms/base" /
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
tell "the image's size in MB: all, its parts, what is largest in .venv, the largest packages of Debian"
megabytes . usr var opt/cache opt/googlenet-rcnn/.venv "$rooms/base"
megabytes opt/googlenet-rcnn/.venv/lib/python3*/site-packages/* | head -n 12 || true
# shellcheck disable=SC2016  # dpkg-query's own names
chroot "$mounted" dpkg-query -W -f '${Installed-Size} ${Package}\n' | sort -rn | head -n 12 || true

tell "caffe train, as typed"
buildah_here run "$container" -- caffe train -solver prototxt/solver_rcnn_r.prototxt >"$rooms/train.log" 2>&1 &&
    fail "caffe train has found pairs in the image"
grep -m 1 'pairs_train01' "$rooms/train.log" || fail "caffe train got nowhere; see $rooms/train.log"

tell "the demo at its tiny scale"
buildah_here run "$container" -- sh -c 'id -u && python tools/demo.py --quick --out /tmp/quick'

tell "folders of the machine as data"
mkdir -p "$rooms/own" "$rooms/other"
chown 1000 "$rooms/own" && chown root "$rooms/other" && chmod 755 "$rooms/other"
make=(googlenet-rcnn make-motion-videos --appearances Flowers --movements Up --groups 2 --out data/videos)
with_data "$rooms/own" "${make[@]}"
if with_data "$rooms/other" "${make[@]}" 2>"$rooms/refused.log"; then
    fail "uid 1000 wrote into a folder of root"
fi
cat "$rooms/refused.log"
[[ $(grep -c '' "$rooms/refused.log") == 1 ]] || fail "that is more than one line"
tell "done"
