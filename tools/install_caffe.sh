#!/usr/bin/env bash
#
# Builds BVLC Caffe from source, for the CPU or with CUDA, and makes the virtual environment .venv of this clone
# around it.
#
#     tools/install_caffe.sh            (or: make caffe)
#     source .venv/bin/activate
#     caffe train -solver prototxt/solver_rcnn_r.prototxt
#
#     tools/install_caffe.sh --cuda     (or: make cuda)
#     source .venv/bin/activate
#     caffe train -solver prototxt/solver_rcnn_r.prototxt -gpu 0
#
# Steps, each left out where its result is there already:
#   1. Debian packages that the build needs (apt-get; through sudo where you are not root)
#   2. Caffe's source at commit 99bd997: CAFFE_SOURCE, else Debian's source package, else BVLC's repository by git
#   3. the build, with tools/caffe_build/compat.h standing in for what has changed in the libraries since 2018, and
#      decoding colour JPEGs faster
#   4. .venv: the system's Python, requirements.txt, the programs caffe and googlenet-rcnn, pycaffe, and this repository
#      on its path
#   5. proof: pycaffe is imported, and `caffe train` learns from a small LMDB through a Python layer
#
# A finished build is kept outside the clone under a name made from what went into it, so that another clone finds it:
#     ~/.cache/googlenet-rcnn/caffe-<hash>
# and the full log of the last run in ~/.cache/googlenet-rcnn/install.log.
#
# Environment variables:
#   CAFFE_SOURCE    folder with Caffe's source: a git checkout at commit 99bd997 or that commit's files, unpacked
#   CAFFE_PREFIX    folder for the finished build, instead of the one under ~/.cache
#   CUDA_HOME       folder of the CUDA toolkit (11 to 13), where the nvcc on PATH or in /usr/local/cuda is not the one
#   CUDA_WHEELS     folder with NVIDIA's wheels (PyTorch's site-packages, say), to take libraries from that the toolkit
#                   lacks; else they are fetched with pip into ~/.cache/googlenet-rcnn/wheels
#   XDG_CACHE_HOME  folder to use instead of ~/.cache
#
# Options (without any, the build that .venv has, and the CPU's where there is none):
#   --cpu           for the CPU
#   --cuda          with CUDA; the same build also computes on a CPU
#   --cudnn         with CUDA and cuDNN; this one needs a GPU
#   --nccl          with CUDA and NCCL, for caffe train -gpu 0,1
#   --arch LIST     the GPUs' compute capabilities, such as 35,75 (default: those of the GPUs here, and where there is
#                   none, all usual ones that the toolkit knows)
#   --tests         Caffe's own C++ tests too, in folder test of the build: cd .venv/caffe/test && ./test.testbin
#   --slim          a new .venv gets nothing that only the tests, make lint or pycaffe's own work on images need
#   -h, --help      this text

set -euo pipefail

# The system's tools and libraries only: Debian's Boost.Python fits the system's Python and no other, and a compiler,
# CMake or protoc of a pyenv or conda on the path would meet libraries that it was not made for.
readonly callers_path=$PATH
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
unset CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH LD_LIBRARY_PATH \
    CMAKE_PREFIX_PATH CMAKE_GENERATOR CMAKE_TOOLCHAIN_FILE CMAKE_INCLUDE_PATH CMAKE_LIBRARY_PATH LD_PRELOAD \
    MAKEFLAGS MFLAGS GNUMAKEFLAGS MAKEFILES VIRTUAL_ENV TAR_OPTIONS GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE "${!PYTHON@}"
# Where pip installs and what is for this script to say; how it reaches its index is not.
unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_CONSTRAINT PIP_REQUIREMENT PIP_EDITABLE PIP_NO_DEPS PIP_DRY_RUN \
    PIP_REQUIRE_HASHES PIP_IGNORE_INSTALLED PIP_LOG PIP_ABI PIP_PLATFORM PIP_PYTHON_VERSION PIP_IMPLEMENTATION
export PIP_USER=0
unset CDPATH # else cd prints the folder that it goes to

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly python=/usr/bin/python3
readonly venv=$root/.venv
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/googlenet-rcnn
readonly log=$cache/install.log

readonly libraries=(libboost-filesystem-dev libboost-python-dev libboost-thread-dev libgflags-dev libgoogle-glog-dev
    libhdf5-dev libjpeg-dev liblmdb-dev libopenblas-dev libopencv-dev libprotobuf-dev protobuf-compiler python3-dev
    python3-numpy)
readonly packages=(build-essential ca-certificates cmake git make python3 python3-venv "${libraries[@]}")

# No -march: the build then runs on every machine of its architecture, and OpenBLAS, where the time goes, picks its
# kernels by the processor it finds. --as-needed leaves out what OpenCV's window module would load into a program that
# opens none. -ljpeg is for compat.h, and among the standard libraries as those come last, where --as-needed wants it.
cmake_flags=(-DCMAKE_BUILD_TYPE=Release -DBLAS=Open -DUSE_OPENCV=ON -DUSE_LMDB=ON
    -DUSE_LEVELDB=OFF -DBUILD_python=ON -DBUILD_python_layer=ON -Dpython_version=3 "-DPYTHON_EXECUTABLE=$python"
    -DBUILD_docs=OFF -DBUILD_matlab=OFF -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON
    "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed" -DCMAKE_CXX_STANDARD_LIBRARIES=-ljpeg
    -DCMAKE_EXPORT_NO_PACKAGE_REGISTRY=ON -DCMAKE_POLICY_VERSION_MINIMUM=3.5)
readonly cpu_flags=(-DCPU_ONLY=ON "-DCMAKE_SHARED_LINKER_FLAGS=-Wl,--as-needed")
targets=(caffe.bin pycaffe)

# the options
for_cpu='' with_cuda='' with_cudnn='' with_nccl='' with_tests='' slim='' asked_architectures=''

# shellcheck source=tools/caffe_build/source.sh
source "$root/tools/caffe_build/source.sh" # step 2
# shellcheck source=tools/caffe_build/environment.sh
source "$root/tools/caffe_build/environment.sh" # step 4
# shellcheck source=tools/caffe_build/cuda.sh
source "$root/tools/caffe_build/cuda.sh" # what --cuda adds

# One line an argument.
say() { printf '%s\n' "$@"; }

fail() {
    printf 'install_caffe.sh: %s\n' "$*" >&2
    exit 1
}

# A failure whose reason is in the log: its last lines, then what failed.
fail_with_log() {
    printf -- '--- the last lines of %s\n' "$log" >&2
    tail -n 20 "$log" >&2
    fail "$* (full log: $log)"
}

logged() {
    printf '\n+ %s\n' "$*" >>"$log"
    "$@" </dev/null >>"$log" 2>&1
}

# ---- what there is already -----------------------------------------------------------------------------------------

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || say "$package"
    done
}

check_system() {
    local version
    command -v apt-get >/dev/null ||
        fail "this machine has no apt-get: the installer knows Debian and Ubuntu only"
    version=$(python_version)
    [[ -z $version || " 3.9 3.10 3.11 3.12 3.13 3.14 " == *" $version "* ]] ||
        fail "the Python of this system is $version, and requirements.txt needs Python 3.9 to 3.14"
}

# The Python that is there, else the one that apt would bring; nothing where apt has no lists yet.
python_version() {
    if [[ -x $python ]]; then
        "$python" -c 'import sys; print("{}.{}".format(*sys.version_info))'
    else
        apt-cache policy python3 2>/dev/null | sed -nE 's/^ *Candidate: ([0-9]+:)?([0-9]+\.[0-9]+).*/\2/p'
    fi
}

# Twelve digits for everything that goes into a build.
fingerprint() {
    {
        say "$commit" "${cmake_flags[@]}" "${targets[@]}"
        if [[ -n $with_cuda ]]; then cuda_fingerprint; else say "${cpu_flags[@]}"; fi
        sha256sum <"$root/tools/caffe_build/compat.h"
        "$python" --version
        g++ -dumpfullversion
        dpkg --print-architecture
        dpkg-query -W -f '${Package} ${Version}\n' "${libraries[@]}"
    } | sha256sum | cut -c 1-12
}

prefix_of() {
    if [[ -n ${CAFFE_PREFIX:-} ]]; then
        realpath -m -- "$CAFFE_PREFIX"
    else
        say "$cache/caffe-${with_cuda:+cuda$cuda_version-}$1"
    fi
}

check_given_prefix() {
    [[ -z ${CAFFE_PREFIX:-} || -f $CAFFE_PREFIX/.googlenet-rcnn || -z $(ls -A "$CAFFE_PREFIX" 2>/dev/null) ]] ||
        fail "CAFFE_PREFIX: $CAFFE_PREFIX holds something else than a build of ours; name a new or empty folder"
}

# The build in folder $1 is whole and made from what fingerprint $2 stands for.
is_built() { [[ -x $1/bin/caffe && $(cat "$1/.googlenet-rcnn" 2>/dev/null) == "$2" ]]; }

is_ready() {
    local made_from prefix
    [[ -f $venv/stamp && -x $venv/bin/caffe && -x $venv/bin/python && -z $(missing_packages) ]] || return 1
    if [[ -n $with_cuda ]]; then
        ((!${#missing_libraries[@]})) || return 1
        find_host_compiler
    fi
    made_from=$(fingerprint)
    prefix=$(prefix_of "$made_from")
    is_built "$prefix" "$made_from" && [[ $(cat "$venv/stamp") == "$(environment_stamp "$made_from" "$prefix")" ]]
}

# ---- 1. packages ---------------------------------------------------------------------------------------------------

by_hand() {
    echo "ask an administrator to run the line below, then run this again:"
    echo "   apt-get update && apt-get install -y --no-install-recommends $*"
}

install_packages() {
    local missing administrator=()
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        if sudo -n true 2>/dev/null; then
            administrator=(sudo -n)
        elif [[ -t 0 ]] && command -v sudo >/dev/null; then
            say "Debian packages are missing: sudo may ask for your password."
            sudo true || fail "sudo did not accept you; $(by_hand "${missing[@]}")"
            administrator=(sudo)
        else
            fail "Debian packages are missing, you are not root, and sudo asks for a password or is not there;" \
                "$(by_hand "${missing[@]}")"
        fi
    fi
    say "Installing ${#missing[@]} Debian packages and what they need ..."
    administrator+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600)
    logged "${administrator[@]}" update || say "  apt-get update had errors (see $log); going on with the lists at hand"
    check_system # a bare system has had no Python to ask, and apt no lists
    logged "${administrator[@]}" install --no-install-recommends "${missing[@]}" ||
        fail_with_log "apt-get could not install ${missing[*]}"
}

# ---- 3. build ------------------------------------------------------------------------------------------------------

# Reads make's output and shows how far it is: in place on a terminal, else a line every tenth part.
show_progress() {
    local line shown=-10
    while IFS= read -r line; do
        [[ $line =~ ^\[\ *([0-9]+)%\] ]] || continue
        if [[ -t 1 ]]; then
            printf '\rBuilding Caffe: %3d %%, %d s ' "${BASH_REMATCH[1]}" "$SECONDS"
        elif ((BASH_REMATCH[1] >= shown + 10)); then
            shown=${BASH_REMATCH[1]}
            say "Building Caffe: $shown %, $SECONDS s"
        fi
    done
    if [[ -t 1 ]]; then printf '\n'; fi
}

# One compiler a processor, as far as the memory goes: the largest file of Caffe takes about 1 GB to compile.
jobs_at_once() {
    local jobs gigabytes
    jobs=$(nproc)
    gigabytes=$(awk '/^MemAvailable:/ {print int($2 / 1000000)}' /proc/meminfo)
    say "$((gigabytes < 1 ? 1 : gigabytes < jobs ? gigabytes : jobs))"
}

# Builds in $1.partial and renames: a folder named $1 holds a whole build or is not there.
build() {
    local prefix=$1 work=$1.partial finished=$1.partial/finished cuda_flags=("${cpu_flags[@]}") cuda_cxx_flags=
    rm -rf "$work"
    mkdir -p "$work" 2>>"$log" || fail "cannot make the folder $work; set CAFFE_PREFIX to one that you can write to"
    get_source "$work/source"
    cp "$root/tools/caffe_build/compat.h" "$work/"
    mkdir "$work/build"
    if [[ -n $with_cuda ]]; then configure_cuda "$work"; fi
    SECONDS=0
    logged cmake -S "$work/source" -B "$work/build" "${cmake_flags[@]}" "${cuda_flags[@]}" \
        "-DCMAKE_INSTALL_PREFIX=$prefix" "-DCMAKE_CXX_FLAGS=-w -include \"$work/compat.h\"$cuda_cxx_flags" ||
        fail_with_log "CMake could not configure Caffe"
    make -C "$work/build" -j "$(jobs_at_once)" "${targets[@]}" </dev/null 2>&1 | tee -a "$log" | show_progress ||
        fail_with_log "Caffe does not compile"
    mkdir -p "$finished/bin" "$finished/lib" "$finished/python"
    cp "$work/build/tools/caffe" "$finished/bin/"
    cp -P "$work"/build/lib/libcaffe.so* "$finished/lib/"
    rm "$work/source/python/caffe/_caffe.so"
    cp -R "$work/source/python/caffe" "$finished/python/"
    cp "$work/build/lib/_caffe.so" "$finished/python/caffe/"
    cp "$work/source/LICENSE" "$finished/"
    if is_before "$(protoc --version | cut -d ' ' -f 2)" 3.19; then renew_python_messages; fi
    if [[ -n $with_tests ]]; then keep_tests "$work" "$finished/test"; fi
    say "$2" >"$finished/.googlenet-rcnn"
    rm -rf "$prefix"
    mv "$finished" "$prefix"
    rm -rf "$work"
}

# Version $1 is older than $2.
is_before() { [[ $1 != "$2" && $(say "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

# What protoc 3.18 and older writes (Ubuntu 22.04's, Debian 11's) is refused by the protobuf of requirements.txt.
renew_python_messages() {
    { logged "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --target "$work/protoc" \
        grpcio-tools==1.62.3 && logged env PYTHONPATH="$work/protoc" "$venv/bin/python" -m grpc_tools.protoc \
        -I "$work/source/src/caffe/proto" --python_out="$finished/python/caffe/proto" caffe.proto; } ||
        fail_with_log "a newer protoc could not write Caffe's messages for Python"
}

# Caffe's test program looks for its data below the folder that it is run from.
keep_tests() {
    mkdir -p "$2/src/caffe/test" "$2/examples"
    cp "$1/build/test/test.testbin" "$2/"
    cp -R "$1/source/src/caffe/test/test_data" "$2/src/caffe/test/"
    cp -R "$1/source/examples/images" "$2/examples/"
}

# ---- all of it -----------------------------------------------------------------------------------------------------

leave_if_ready() {
    if is_ready; then
        say "Caffe is ready in .venv ($(build_in_words)): nothing to do."
        exit 0
    fi
}

usage() { awk 'NR > 2 && /^#/ {sub(/^# ?/, ""); print; next} NR > 2 {exit}' "${BASH_SOURCE[0]}"; }

build_in_words() { if [[ -n $with_cuda ]]; then cuda_in_words; else say CPU; fi; }

# The options; those that made .venv, where none is given now.
read_options() {
    local given=("$@")
    if ((!$#)) && [[ -f $venv/options ]]; then mapfile -t given <"$venv/options"; fi
    set -- "${given[@]}"
    while (($#)); do
        case $1 in
            -h | --help) usage && exit 0 ;;
            --cpu) for_cpu=1 ;;
            --cuda) with_cuda=1 ;;
            --cudnn) with_cuda=1 with_cudnn=ON ;;
            --nccl) with_cuda=1 with_nccl=ON ;;
            --arch)
                [[ -n ${2:-} ]] || fail "--arch: name the GPUs' compute capabilities, such as --arch 35,75"
                with_cuda=1 asked_architectures=$2
                shift
                ;;
            --tests) with_tests=1 targets+=(test.testbin) ;;
            --slim) slim=1 ;;
            *) fail "unknown argument: $1 (see --help)" ;;
        esac
        shift
    done
    [[ -z $for_cpu || -z $with_cuda ]] || fail "--cpu and an option of CUDA: choose one"
    if [[ -z $for_cpu$with_cuda ]]; then for_cpu=1; fi
}

# What read_options would read again: the architectures as they were chosen.
options_in_words() {
    say ${for_cpu:+--cpu} ${with_cuda:+--cuda} ${with_cudnn:+--cudnn} ${with_nccl:+--nccl} ${with_tests:+--tests} \
        ${slim:+--slim}
    [[ -z $with_cuda ]] || (IFS=, && say --arch "${architectures[*]}")
}

main() {
    local made_from prefix
    read_options "$@"
    check_system
    check_given_source
    check_given_prefix
    if [[ -n $with_cuda ]]; then look_for_cuda; fi
    leave_if_ready
    mkdir -p "$cache" || fail "cannot make the folder $cache; set XDG_CACHE_HOME to a folder that you can write to"
    exec 9>"$cache/lock"
    flock -n 9 || { say "Another run is at work; waiting for it ..." && flock 9 && leave_if_ready; }
    : >"$log"
    trap 'say "" "interrupted; run the same command again to go on" >&2; exit 130' INT TERM

    install_packages
    make_virtual_environment
    check_pip
    if [[ -n $with_cuda ]]; then
        find_host_compiler
        get_wheels
    fi
    made_from=$(fingerprint)
    prefix=$(prefix_of "$made_from")
    if is_built "$prefix" "$made_from"; then
        say "Caffe is built already: $prefix"
    else
        build "$prefix" "$made_from"
    fi
    fill_environment "$prefix"
    logged "$venv/bin/python" "$root/tools/caffe_build/prove.py" "$venv/bin/caffe" "$(processor)" ||
        fail_with_log "Caffe was built but does not work; to build it anew, remove $prefix and run this again"
    options_in_words >"$venv/options"
    environment_stamp "$made_from" "$prefix" >"$venv/stamp"
    tell_what_is_there "$prefix"
}

# Which one the proof runs on: the GPU where there is one.
processor() { if [[ -n $with_cuda && -n $(gpus) ]]; then say GPU; else say CPU; fi; }

tell_what_is_there() {
    local built
    built=$(build_in_words)
    say "BVLC Caffe (commit ${commit:0:7}, $built) is in $1 and trains with a Python layer on the $(processor)." \
        "To use it:" \
        "    source .venv/bin/activate && caffe train -solver prototxt/solver_rcnn_r.prototxt${with_cuda:+ -gpu 0}"
    [[ -z $with_cudnn ]] || say "With cuDNN built in, nets run on a GPU only; --cuda without --cudnn serves both."
}

# exit on the same line: bash reads a script as it runs it, and the file may change meanwhile (git pull).
main "$@"; exit
