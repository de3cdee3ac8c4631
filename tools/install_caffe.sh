#!/usr/bin/env bash
#
# Builds BVLC Caffe from source for the CPU and makes the virtual environment .venv of this clone around it.
#
#     tools/install_caffe.sh            (or: make caffe)
#     source .venv/bin/activate
#     caffe train -solver prototxt/solver_rcnn_r.prototxt
#
# Steps, each left out where its result is there already:
#   1. Debian packages that the build needs (apt-get; through sudo where you are not root)
#   2. Caffe's source at commit 99bd997: CAFFE_SOURCE, else Debian's source package, else BVLC's repository by git
#   3. the build, with tools/caffe/compat.h standing in for what has changed in the libraries since 2018, and
#      decoding colour JPEGs faster
#   4. .venv: the system's Python, requirements.txt, the caffe program, pycaffe, and this repository on its path
#   5. proof: pycaffe is imported, and `caffe train` learns from a small LMDB through a Python layer
#
# A finished build is kept outside the clone under a name made from what went into it, so that another clone finds it:
#     ~/.cache/googlenet-rcnn/caffe-<hash>
# and the full log of the last run in ~/.cache/googlenet-rcnn/install.log.
#
# Environment variables:
#   CAFFE_SOURCE    folder with Caffe's source: a git checkout at commit 99bd997 or that commit's files, unpacked
#   CAFFE_PREFIX    folder for the finished build, instead of the one under ~/.cache
#   XDG_CACHE_HOME  folder to use instead of ~/.cache
#
# Options:
#   -h, --help      this text

set -euo pipefail

# The system's tools and libraries only: Debian's Boost.Python fits the system's Python and no other, and a compiler,
# CMake or protoc of a pyenv or conda on the path would meet libraries that it was not made for.
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
unset CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH LD_LIBRARY_PATH \
    CMAKE_PREFIX_PATH CMAKE_GENERATOR PYTHONPATH PYTHONHOME MAKEFLAGS MFLAGS VIRTUAL_ENV

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly python=/usr/bin/python3
readonly venv=$root/.venv
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/googlenet-rcnn
readonly log=$cache/install.log

# Debian's archive is BVLC's tree at this commit, unpatched; the last number is `tree_sha256` of it.
readonly commit=99bd99795dcdf0b1d3086a8d67ab1782a8a08383
readonly archive_sha256=e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c
readonly source_sha256=1e6d616d055c5315a13fad37478e0a0b8c48f8d0036f88ac1954a4959c28b75c
readonly repository=https://github.com/BVLC/caffe
readonly suite=bullseye

readonly libraries=(libboost-filesystem-dev libboost-python-dev libboost-system-dev libboost-thread-dev libgflags-dev
    libgoogle-glog-dev libhdf5-dev libjpeg-dev liblmdb-dev libopenblas-dev libopencv-dev libprotobuf-dev
    protobuf-compiler python3-dev python3-numpy)
readonly packages=(build-essential ca-certificates cmake git make python3 python3-venv "${libraries[@]}")

# No -march: the build then runs on every machine of its architecture, and OpenBLAS, where the time goes, picks its
# kernels by the processor it finds. --as-needed leaves out what OpenCV's window module would load into a program that
# opens none. -ljpeg is for compat.h, and among the standard libraries as those come last, where --as-needed wants it.
readonly cmake_flags=(-DCMAKE_BUILD_TYPE=Release -DCPU_ONLY=ON -DBLAS=Open -DUSE_OPENCV=ON -DUSE_LMDB=ON
    -DUSE_LEVELDB=OFF -DBUILD_python=ON -DBUILD_python_layer=ON -Dpython_version=3 "-DPYTHON_EXECUTABLE=$python"
    -DBUILD_docs=OFF -DBUILD_matlab=OFF -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON
    "-DCMAKE_SHARED_LINKER_FLAGS=-Wl,--as-needed" "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed"
    -DCMAKE_CXX_STANDARD_LIBRARIES=-ljpeg
    -DCMAKE_EXPORT_NO_PACKAGE_REGISTRY=ON -DCMAKE_POLICY_VERSION_MINIMUM=3.5)
readonly targets=(caffe.bin pycaffe)

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
    command -v apt-get >/dev/null ||
        fail "this machine has no apt-get: the installer knows Debian 12 and its relatives only"
    [[ -x $python ]] || return 0
    "$python" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' ||
        fail "$python is $("$python" --version), and requirements.txt needs Python 3.9 to 3.12"
}

# Twelve digits for everything that goes into a build.
fingerprint() {
    {
        say "$commit" "${cmake_flags[@]}" "${targets[@]}"
        sha256sum <"$root/tools/caffe/compat.h"
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
        say "$cache/caffe-$1"
    fi
}

check_given_prefix() {
    [[ -z ${CAFFE_PREFIX:-} || -f $CAFFE_PREFIX/.googlenet-rcnn || -z $(ls -A "$CAFFE_PREFIX" 2>/dev/null) ]] ||
        fail "CAFFE_PREFIX: $CAFFE_PREFIX holds something else than a build of ours; name a new or empty folder"
}

# The build in folder $1 is whole and made from what fingerprint $2 stands for.
is_built() { [[ -x $1/bin/caffe && $(cat "$1/.googlenet-rcnn" 2>/dev/null) == "$2" ]]; }

# What .venv was made from: written into it when it has been proved.
environment_stamp() {
    say "$root" "$2" "$1"
    cat "$root/requirements.txt" "$root/tools/install_caffe.sh" "$root/tools/caffe/prove.py" | sha256sum
}

is_ready() {
    local made_from prefix
    [[ -f $venv/stamp && -x $venv/bin/caffe && -x $venv/bin/python && -z $(missing_packages) ]] || return 1
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
    logged "${administrator[@]}" install --no-install-recommends "${missing[@]}" ||
        fail_with_log "apt-get could not install ${missing[*]}"
}

# ---- 2. source -----------------------------------------------------------------------------------------------------

# One number for all files of a source tree but those hidden at its top: git's and the CI's, which no build reads.
tree_sha256() {
    (cd "$1" && find . -type f -not -path './.*' -print0 | sort -z | xargs -0 -r sha256sum) | sha256sum | cut -c 1-64
}

# safe.directory: a checkout may belong to another user, and nothing in it is run before the commit is known.
git_in() { git -c safe.directory='*' -C "$@"; }

check_given_source() {
    local head
    [[ -n ${CAFFE_SOURCE:-} ]] || return 0
    [[ -d $CAFFE_SOURCE ]] || fail "CAFFE_SOURCE: no such folder: $CAFFE_SOURCE"
    if [[ -e $CAFFE_SOURCE/.git ]] && command -v git >/dev/null; then
        head=$(git_in "$CAFFE_SOURCE" rev-parse HEAD 2>/dev/null) || head="no commit"
        [[ $head == "$commit" ]] || fail "CAFFE_SOURCE: $CAFFE_SOURCE is at $head; run: git checkout $commit"
    else
        [[ $(tree_sha256 "$CAFFE_SOURCE") == "$source_sha256" ]] ||
            fail "CAFFE_SOURCE: the files in $CAFFE_SOURCE are not those of BVLC Caffe's commit $commit;" \
                "unpack that commit anew, or unset CAFFE_SOURCE to have it fetched"
    fi
}

source_from_folder() {
    say "Caffe's source: $CAFFE_SOURCE"
    mkdir "$1"
    if [[ -e $CAFFE_SOURCE/.git ]]; then
        git_in "$CAFFE_SOURCE" archive "$commit" | tar -x -C "$1"
    else
        cp -R "$CAFFE_SOURCE/." "$1"
        chmod -R u+w "$1"
    fi
}

source_from_debian() {
    local apt=$1.apt
    local private=(apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/parts"
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Debug::NoLocking=1
        -o "APT::Sandbox::User=$(id -un)")
    mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
    "$python" "$root/tools/caffe/debian_source.py" "$suite" >"$apt/parts/$suite.sources" 2>>"$log"
    [[ -s $apt/parts/$suite.sources ]] || return 1
    logged "${private[@]}" update || true # one mirror of several may lack the suite
    (cd "$apt" && logged "${private[@]}" source --download-only caffe) || return 1
    (cd "$apt" && sha256sum --status -c <<<"$archive_sha256  $(echo caffe_*.orig.tar.gz)") 2>>"$log" || return 1
    mkdir "$1"
    tar -xzf "$apt"/caffe_*.orig.tar.gz -C "$1"
    say "Caffe's source: Debian's source package caffe, suite $suite"
}

source_from_git() {
    mkdir "$1"
    logged git -C "$1" init -q && logged git -C "$1" fetch -q --depth 1 "$repository" "$commit" &&
        logged git -C "$1" checkout -q "$commit" || return 1
    say "Caffe's source: $repository"
}

get_source() {
    if [[ -n ${CAFFE_SOURCE:-} ]]; then
        source_from_folder "$1"
    else
        say "Fetching Caffe's source ..."
        source_from_debian "$1" || source_from_git "$1" ||
            fail_with_log "Caffe's source came neither from Debian nor from $repository; give a folder as CAFFE_SOURCE"
    fi
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
    local prefix=$1 work=$1.partial finished=$1.partial/finished
    rm -rf "$work"
    mkdir -p "$work" 2>>"$log" || fail "cannot make the folder $work; set CAFFE_PREFIX to one that you can write to"
    get_source "$work/source"
    cp "$root/tools/caffe/compat.h" "$work/"
    mkdir "$work/build"
    SECONDS=0
    logged cmake -S "$work/source" -B "$work/build" "${cmake_flags[@]}" "-DCMAKE_INSTALL_PREFIX=$prefix" \
        "-DCMAKE_CXX_FLAGS=-w -include \"$work/compat.h\"" || fail_with_log "CMake could not configure Caffe"
    make -C "$work/build" -j "$(jobs_at_once)" "${targets[@]}" </dev/null 2>&1 | tee -a "$log" | show_progress ||
        fail_with_log "Caffe does not compile"
    mkdir -p "$finished/bin" "$finished/lib" "$finished/python"
    cp "$work/build/tools/caffe" "$finished/bin/"
    cp -P "$work"/build/lib/libcaffe.so* "$finished/lib/"
    rm "$work/source/python/caffe/_caffe.so"
    cp -R "$work/source/python/caffe" "$finished/python/"
    cp "$work/build/lib/_caffe.so" "$finished/python/caffe/"
    cp "$work/source/LICENSE" "$finished/"
    say "$2" >"$finished/.googlenet-rcnn"
    rm -rf "$prefix"
    mv "$finished" "$prefix"
    rm -rf "$work"
}

# ---- 4. environment ------------------------------------------------------------------------------------------------

# .venv is the system Python's, of its present version, and was made in this place (its scripts name their folder).
is_usable_environment() {
    [[ -x $venv/bin/pip ]] && grep -qF "$venv" "$venv/bin/activate" &&
        [[ $("$venv/bin/python" -c "$python_identity" 2>/dev/null) == "$("$python" -c "$python_identity")" ]]
}
readonly python_identity='import sys; print(sys.base_prefix, sys.version)'

make_environment() {
    local site
    rm -f "$venv/stamp"
    if ! is_usable_environment; then
        say "Making .venv ..."
        logged "$python" -m venv --clear "$venv" || fail_with_log "$python could not make the virtual environment $venv"
    fi
    say "Installing the Python packages of requirements.txt ..."
    logged "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -r "$root/requirements.txt" ||
        fail_with_log "pip could not install requirements.txt"
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    say "$1/python" "$root" >"$site/googlenet_rcnn.pth"
    ln -sfn "$1" "$venv/caffe"
    cat >"$venv/bin/caffe" <<'WRAPPER'
#!/bin/sh
# Caffe's program. Its embedded Python takes the environment whose python3 comes first on the path: this one.
bin=$(dirname "$(readlink -f "$0")")
unset PYTHONHOME
PATH=$bin:$PATH
export PATH
exec "$bin/../caffe/bin/caffe" "$@"
WRAPPER
    chmod +x "$venv/bin/caffe"
}

# ---- all of it -----------------------------------------------------------------------------------------------------

leave_if_ready() {
    if is_ready; then
        say "Caffe is ready in .venv: nothing to do."
        exit 0
    fi
}

usage() { awk 'NR > 2 && /^#/ {sub(/^# ?/, ""); print; next} NR > 2 {exit}' "${BASH_SOURCE[0]}"; }

main() {
    local made_from prefix
    case ${1:-} in
        -h | --help) usage && exit 0 ;;
        ?*) fail "unknown argument: $1 (see --help)" ;;
    esac
    check_system
    check_given_source
    check_given_prefix
    leave_if_ready
    mkdir -p "$cache" || fail "cannot make the folder $cache; set XDG_CACHE_HOME to a folder that you can write to"
    exec 9>"$cache/lock"
    flock -n 9 || { say "Another run is at work; waiting for it ..." && flock 9 && leave_if_ready; }
    : >"$log"
    trap 'say "" "interrupted; run the same command again to go on" >&2; exit 130' INT TERM

    install_packages
    check_system
    made_from=$(fingerprint)
    prefix=$(prefix_of "$made_from")
    if is_built "$prefix" "$made_from"; then
        say "Caffe is built already: $prefix"
    else
        build "$prefix" "$made_from"
    fi
    make_environment "$prefix"
    logged "$venv/bin/python" "$root/tools/caffe/prove.py" "$venv/bin/caffe" ||
        fail_with_log "Caffe was built but does not work; to build it anew, remove $prefix and run this again"
    environment_stamp "$made_from" "$prefix" >"$venv/stamp"
    say "BVLC Caffe (commit ${commit:0:7}, CPU) is in $prefix and trains with a Python layer. To use it:" \
        "    source .venv/bin/activate && caffe train -solver prototxt/solver_rcnn_r.prototxt"
}

# exit on the same line: bash reads a script as it runs it, and the file may change meanwhile (git pull).
main "$@"; exit
