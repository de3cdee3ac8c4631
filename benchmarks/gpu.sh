#!/usr/bin/env bash
#
# All that has to be seen on a machine with a GPU, in one call, where that machine has no network and not our libraries.
#
#     sudo benchmarks/gpu.sh pack FOLDER [--arch 90]     here: network, Debian 12, a CUDA toolkit; no GPU. An hour or so
#     sudo benchmarks/gpu.sh run FOLDER                  there: FOLDER carried along. Results in FOLDER/results
#     benchmarks/gpu.sh check RESULTS [--cpu]            where .venv has a build with --cuda --tests: what `run` does
#
# pack makes a Debian root that holds this working tree, .venv, both CUDA builds of Caffe (with cuDNN and without) with
# Caffe's own tests, and what they need to run; and cuts it into FOLDER/root.tar.xz.* of 60 MB each. NVIDIA's libraries
# (cuBLAS, cuRAND, cuDNN, the CUDA runtime, 1.5 GB) are not in it: run takes them from the toolkit there, or from the
# wheels that a PyTorch there brought (python3's site-packages, or CUDA_WHEELS).
#
# run needs root, xz, a driver, and libraries of the CUDA major version that pack built with. It says what is missing.
# Where its python3 has PyTorch, the speeds stand beside PyTorch's on the same nets in the same rounds.
#
# check, for the build that .venv has: Caffe's C++ tests, pycaffe's, ours, the three nets' outputs against the CPU's
# (a build without cuDNN makes those first, in RESULTS/cpu.npz), training on synthetic videos, and speeds. Each step has its
# log in RESULTS; a step that fails does not stop the others; the summary comes last.
#
#   --arch LIST    as for tools/install_caffe.sh (90)
#   --cpu          for run and check: leave out what needs a GPU and take small nets, to see that the steps work
#   --minutes N    most that one step of check may take (10)

# shellcheck disable=SC2317  # main calls pack, run or check by the name that it is given

set -euo pipefail

unset CDPATH # else cd prints the folder that it goes to
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
# shellcheck source=tests/rooms.sh
source "$root/tests/rooms.sh"
readonly base=debian:12 inner=/opt/googlenet-rcnn
architectures=90 minutes=10 cpu=''

# ---- pack ----------------------------------------------------------------------------------------------------------

pack() {
    local room=gpu kind prefix name
    rooms=$folder/rooms
    check_rooms
    bound=${CUDA_HOME:-$(realpath /usr/local/cuda)}
    [[ -x $bound/bin/nvcc ]] || fail "there is no bin/nvcc in $bound; name the CUDA toolkit as CUDA_HOME"
    make_base
    make_room "$room"
    make_context "$rooms/gpu$inner"
    for kind in cuda cudnn; do
        tell "Caffe, --$kind"
        inside "$room" root "$inner" XDG_CACHE_HOME=/opt/cache CUDA_HOME="$bound" -- \
            tools/install_caffe.sh "--$kind" --tests --arch "$architectures"
        prefix=$(readlink "$rooms/gpu$inner/.venv/caffe")
        ln -sfn "$prefix" "$rooms/gpu/opt/$kind"
    done
    tell "packing"
    # what only a compile needs, and what the machine there has
    for name in usr/include usr/lib/gcc usr/share/doc usr/share/man usr/share/locale var/cache var/lib/apt \
        opt/cache/googlenet-rcnn/wheels root/.cache; do
        rm -rf "$rooms/gpu/${name:?}"
    done
    find "$rooms/gpu/usr/lib" -name '*.a' -delete
    rm -rf "$folder"/root.tar.xz.* "$folder/partial" "$folder/root"
    mkdir "$folder/partial"
    tar -C "$rooms/gpu" --one-file-system -cf - . | xz -T0 -3 | split -b 60000000 - "$folder/partial/root.tar.xz."
    mv "$folder"/partial/* "$folder" && rmdir "$folder/partial"
    tell "carry this repository, and these:"
    du -ch "$folder"/root.tar.xz.*
}

# ---- run -----------------------------------------------------------------------------------------------------------

# Copies a library of the machine, and what stands beside it under the same name, into the root.
take_library() {
    local place found
    for place in "${places[@]}"; do
        found=("$place/$1".so*)
        if [[ -e ${found[0]} ]]; then
            cp -Ln "$place/$1"*.so* "$room/usr/local/gpu/"
            return
        fi
    done
    fail "there is no $1.so in ${places[*]}; name a folder with NVIDIA's wheels as CUDA_WHEELS"
}

# A library of another major version has another name.
check_libraries() {
    local absent
    absent=$(enter_root ldd "$(readlink "$room/opt/$kind")/lib/libcaffe.so" | awk '/not found/ {print $1}' |
        paste -sd ' ')
    [[ -z $absent ]] || fail "--$kind needs $absent, and ${places[*]} have none; CUDA_WHEELS may name a folder with" \
        "NVIDIA's wheels of the CUDA that pack built with"
}

run() {
    local room=$folder/root places=() libraries kinds=(cuda) site kind name
    # cuDNN opens libnvrtc by itself, for kernels that it compiles while it runs
    libraries=(libcudart libcublas libcurand libcudnn libnvrtc)
    ((EUID == 0)) || fail "only root can enter another root; run it with sudo"
    [[ -e $folder/root.tar.xz.aa ]] || fail "there is no root.tar.xz.aa in $folder; make it with: gpu.sh pack $folder"
    if [[ -z $cpu ]]; then
        command -v nvidia-smi >/dev/null || fail "there is no nvidia-smi: has this machine an NVIDIA driver?"
        nvidia-smi -L
        libraries+=(libcuda libnvidia-ml libnvidia-ptxjitcompiler)
        kinds+=(cudnn) # whose nets need a GPU
    fi
    if [[ ! -d $room ]]; then
        tell "unpacking"
        rm -rf "$room.partial" && mkdir -p "$room.partial"
        cat "$folder"/root.tar.xz.* | xz -d | tar -C "$room.partial" -xpf - ||
            fail "$folder/root.tar.xz.* are not whole; carry all of them here again"
        mv "$room.partial" "$room"
    fi
    site=${CUDA_WHEELS:-$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))' || true)}
    mapfile -t places < <(printf '%s\n' "$site"/nvidia/*/lib /usr/local/cuda/lib64 /usr/local/cuda/lib \
        /usr/lib/x86_64-linux-gnu /usr/local/nvidia/lib64 /usr/lib64)
    mkdir -p "$room/usr/local/gpu"
    for name in "${libraries[@]}"; do take_library "$name"; done
    if [[ -z $cpu ]]; then cp -L "$(command -v nvidia-smi)" "$room/usr/local/bin/"; fi
    rm -rf "$room$inner/benchmarks" && cp -R "$root/benchmarks" "$room$inner/" # the scripts of here, if newer
    for kind in cuda cudnn; do check_libraries; done
    if [[ -z $cpu ]]; then serve_torch; fi
    for kind in "${kinds[@]}"; do
        tell "Caffe, --$kind"
        ln -sfn "$(readlink "$room/opt/$kind")" "$room$inner/.venv/caffe"
        printf '%s\n' "$(readlink "$room/opt/$kind")/python" "$inner" \
            >"$(echo "$room$inner"/.venv/lib/python3*/site-packages)/googlenet_rcnn.pth"
        enter_root "$inner/benchmarks/gpu.sh" check "/results/$kind" --minutes "$minutes" ${cpu:+--cpu} || true
    done
    rm -rf "$folder/results" && cp -R "$room/results" "$folder/results"
    tell "results: $folder/results"
}

enter_root() {
    # shellcheck disable=SC2016  # for the inner shell
    unshare --mount sh -c '
        room=$1; shift
        mount -t proc proc "$room/proc" && mount --rbind /dev "$room/dev" && mount --rbind /sys "$room/sys" || exit
        exec chroot "$room" "$@"
    ' sh "$room" env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin LD_LIBRARY_PATH=/usr/local/gpu "$@"
}

# PyTorch runs out here and the clock in there: a program in the root passes lines to and fro.
serve_torch() {
    rm -f "$room"/torch.in "$room"/torch.out "$room/usr/local/bin/torch-python"
    python3 -c 'import torch, tqdm, cv2; assert torch.cuda.is_available()' 2>/dev/null || return 0
    mkfifo "$room/torch.in" "$room/torch.out"
    printf '%s\n' '#!/bin/sh' 'exec 3<&0' 'cat <&3 >/torch.in &' 'exec cat /torch.out' \
        >"$room/usr/local/bin/torch-python"
    chmod +x "$room/usr/local/bin/torch-python"
    (while [[ -p $room/torch.in ]]; do
        PYTHONPATH=$root python3 "$root/benchmarks/gpu.py" serve --gpu 0 <"$room/torch.in" >"$room/torch.out" || break
    done) &
    trap 'rm -f "$folder"/root/torch.in; kill %1 2>/dev/null || true' EXIT
}

# ---- check ---------------------------------------------------------------------------------------------------------

# step NAME COMMAND...: its log, its time, its last line.
step() {
    local name=$1 status=0 began=$SECONDS
    shift
    timeout -k 10 "$((minutes * 60))" "$@" >"$folder/$name.log" 2>&1 </dev/null || status=$?
    printf '%-16s status %3d %5d s   %s\n' "$name" "$status" "$((SECONDS - began))" \
        "$(grep -v '^\s*$' "$folder/$name.log" | tail -n 1 | cut -c 1-150)" | tee -a "$folder/summary.txt"
}

check() {
    local python=$root/.venv/bin/python gpu=(--gpu 0) mode=gpu filter='*' small=() quick=() torch=()
    local pairs=(--train-batch 64 --iterations 10)
    [[ -x $root/.venv/bin/caffe ]] || fail "there is no .venv; run tools/install_caffe.sh --cuda --tests"
    mkdir -p "$folder" && cd "$root"
    : >"$folder/summary.txt"
    export PATH=$root/.venv/bin:$PATH GLOG_minloglevel=2 PYTHONPATH=$root:$root/tests
    if [[ -n $cpu ]]; then
        gpu=() mode=cpu small=(--width 0.25 --size 96) quick=(--batch 1 4 --rounds 2)
        filter='*/0.*:*/1.*:-*GPU*:CuDNN*:Im2colKernel*'
        pairs=(--train-batch 2 --iterations 1 --rounds 1 --batches 1 --batch 4)
    else
        step device caffe device_query -gpu 0
    fi
    if command -v torch-python >/dev/null; then torch=(--torch torch-python); fi
    if [[ -x .venv/caffe/test/test.testbin ]]; then
        step caffe-tests env -C .venv/caffe/test GLOG_minloglevel=3 ./test.testbin "--gtest_filter=$filter"
    fi
    # all but test_draw, which draws the nets of Caffe's source, and that is not kept
    step pycaffe-tests "$python" -c "import caffe, unittest; caffe.set_mode_$mode(); unittest.main(module=None,
        argv=['', 'discover', '-s', '.venv/caffe/python/caffe/test', '-p', 'test_[!d]*.py'])"
    if with_cudnn; then
        cp "$folder/../cuda/cpu.npz" "$folder/" || true
    else
        step outputs-cpu "$python" benchmarks/gpu.py outputs --save "$folder/cpu.npz" "${small[@]}"
    fi
    step outputs "$python" benchmarks/gpu.py outputs --against "$folder/cpu.npz" "${gpu[@]}" "${small[@]}"
    describe_training >"$folder/motion.json"
    step training "$python" tools/reproduce.py "$folder/motion.json" --out "$folder/motion" "${gpu[@]}"
    step speed "$python" benchmarks/gpu.py speed --json "$folder/speed.json" "${gpu[@]}" "${small[@]}" "${quick[@]}" \
        "${torch[@]}"
    step pairs "$python" benchmarks/pairs.py "${pairs[@]}" "${gpu[@]}"
    if [[ -n $cpu ]] || with_cudnn; then
        step our-tests "$python" -m pytest -q tests/test_device.py ${cpu:+-k net}
    else
        step our-tests "$python" -m pytest -q tests
    fi
    if [[ -z $cpu ]]; then step our-tests-gpu "$python" -m pytest -q -p on_gpu tests; fi
    tell "summary"
    cat "$folder/summary.txt"
}

with_cudnn() { ldd .venv/caffe/lib/libcaffe.so | grep -q libcudnn; }

# The synthetic videos of data/motion.json, the first split at 5 frames a second; a little of everything on the CPU.
describe_training() {
    "$root/.venv/bin/python" - "$cpu" <<'PROGRAM'
import json
import sys

with open("data/motion.json") as file:
    described = json.load(file)
described.update(splits=[1], fps=[5], crops=[5])
if sys.argv[1]:
    described["make"].update(groups=4, clips=1, seconds=2, movements=["Up", "Down"], appearances=["Flowers"])
    described["nets"].update({"width": 0.0625, "batch": 4, "cnn-iterations": 20, "stage1-iterations": 20,
                              "iterations": 20, "test-iterations": 2, "test-interval": 20, "snapshot": 20})
print(json.dumps(described))
PROGRAM
}

# ---- all of it -----------------------------------------------------------------------------------------------------

main() {
    local what=${1:-}
    case $what in
        pack | run | check) ;;
        -h | --help) usage && exit 0 ;;
        *) fail "say pack, run or check (see --help)" ;;
    esac
    [[ -n ${2:-} && $2 != -* ]] || fail "$what: name a folder (see --help)"
    folder=$(realpath -m -- "$2")
    shift 2
    while (($#)); do
        case $1 in
            --cpu) cpu=1 ;;
            --arch | --minutes)
                [[ -n ${2:-} ]] || fail "$1: its value is missing (see --help)"
                if [[ $1 == --arch ]]; then architectures=$2; else minutes=$2; fi
                shift
                ;;
            *) fail "unknown argument: $1 (see --help)" ;;
        esac
        shift
    done
    "$what"
}

main "$@"; exit
