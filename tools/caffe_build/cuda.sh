# The part of tools/install_caffe.sh that --cuda needs: the toolkit, the architectures, the libraries, the driver.
# Sourced by it; uses its say, fail, logged, is_before and its folders. Every check here comes before the compile.
# shellcheck shell=bash disable=SC2034,SC2154  # variables that the other file sets or reads

# What a build without --arch is for where no GPU is at hand, as far as the toolkit knows them.
readonly usual_architectures=(35 50 60 70 75 80 86 89 90 100 120)

declare -A header=([cublas]=cublas_v2.h [curand]=curand.h [cudnn]=cudnn.h [nccl]=nccl.h)
declare -A include_of library_of
architectures=() wheel_folders=() missing_libraries=() cuda_flags=()

# ---- the toolkit ---------------------------------------------------------------------------------------------------

# nvcc: the one in CUDA_HOME, on the caller's PATH, or in /usr/local/cuda. What is on the path may be a link or a script
# that leads into the toolkit; nvcc itself tells where that is.
find_toolkit() {
    local top
    if [[ -n ${CUDA_HOME:-} ]]; then
        nvcc=$CUDA_HOME/bin/nvcc
        [[ -x $nvcc ]] || fail "CUDA_HOME: there is no bin/nvcc in $CUDA_HOME; name the folder of a CUDA toolkit"
    else
        nvcc=$(PATH=$callers_path command -v nvcc) || nvcc=/usr/local/cuda/bin/nvcc
        [[ -x $nvcc ]] || fail "--cuda: there is no nvcc on PATH or in /usr/local/cuda/bin; install NVIDIA's CUDA" \
            "toolkit (11 to 13), or name its folder as CUDA_HOME"
    fi
    top=$("$nvcc" --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p') || true
    toolkit=$(realpath -m -- "${top:-$(dirname "$nvcc")/..}")
    cuda_version=$("$nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\.[0-9]*\).*/\1/p') || true
    [[ -n $cuda_version ]] || fail "$nvcc does not tell its version: is the CUDA toolkit whole?"
    cuda_major=${cuda_version%%.*}
    ((cuda_major >= 11)) || fail "$toolkit is CUDA $cuda_version, and this needs CUDA 11 to 13; name the folder of" \
        "another toolkit as CUDA_HOME"
    mapfile -t known < <({ "$nvcc" --list-gpu-arch 2>/dev/null || "$nvcc" --help; } | grep -oE 'compute_[0-9]+' |
        cut -d _ -f 2 | sort -nu)
}

nvidia_smi() { PATH=$callers_path:/usr/bin:/usr/local/nvidia/bin command -v nvidia-smi; }

# From CUDA 11 on a driver serves every toolkit of its own major version and of older ones.
check_driver() {
    local smi served
    smi=$(nvidia_smi) || return 0
    served=$("$smi" 2>/dev/null | sed -n 's/.*CUDA Version: *\([0-9]*\.[0-9]*\).*/\1/p') || true
    [[ -z $served ]] || ((${served%%.*} >= cuda_major)) ||
        fail "the NVIDIA driver here serves CUDA $served and older, and $toolkit is CUDA $cuda_version; install a" \
            "newer driver, or name the folder of an older toolkit as CUDA_HOME"
}

# ---- architectures -------------------------------------------------------------------------------------------------

is_known() { [[ " ${known[*]} " == *" $1 "* ]]; }

# Why the toolkit does not know an architecture, and which one does.
remedy_for() {
    if ((${#known[@]} && $1 > known[0])); then
        say "a newer toolkit does, or leave --arch out"
    else
        say "CUDA $( (($1 < 50)) && echo 11.8 || echo 12.9) is the last that does: name its folder as CUDA_HOME"
    fi
}

# The GPUs here, a line each.
gpus() {
    local smi
    smi=$(nvidia_smi) || return 0
    "$smi" -L 2>/dev/null | grep '^GPU ' || true
}

# Their compute capabilities, such as 90, a line each; none where no driver tells (those of Kepler's time do not).
gpu_architectures() {
    local smi
    smi=$(nvidia_smi) || return 0
    "$smi" --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -oE '^[0-9]+\.[0-9]$' | tr -d . |
        sort -nu || true
}

# Sets `architectures`, in order, and `ptx`, the newest: later GPUs compile that for themselves.
select_architectures() {
    local word number gpus=()
    if [[ -n $asked_architectures ]]; then
        for word in ${asked_architectures//,/ }; do
            number=${word#sm_} number=${number/./}
            [[ $number =~ ^[0-9]{2,3}$ ]] ||
                fail "--arch $asked_architectures: $word is no compute capability; write them as 35,75 or 3.5,7.5"
            is_known "$number" || fail "--arch $word: CUDA $cuda_version in $toolkit knows ${known[*]};" \
                "$(remedy_for "$number")"
            architectures+=("$number")
        done
    else
        mapfile -t gpus < <(gpu_architectures)
        for number in "${gpus[@]}"; do
            ((number >= known[0])) || fail "the GPU here is of architecture $number, and CUDA $cuda_version in" \
                "$toolkit knows ${known[*]}; $(remedy_for "$number")"
            # one that the toolkit does not know yet: the nearest older one, from which its driver compiles
            while ! is_known "$number"; do number=$((number - 1)); done
            architectures+=("$number")
        done
        ((${#gpus[@]})) || for number in "${usual_architectures[@]}"; do
            if is_known "$number"; then architectures+=("$number"); fi
        done
    fi
    mapfile -t architectures < <(say "${architectures[@]}" | sort -nu)
    ptx=${architectures[-1]}
}

# ---- libraries -----------------------------------------------------------------------------------------------------

# Where to look, "headers|libraries" a line: the toolkit, the system, NVIDIA's wheels.
places() {
    local wheel folder target
    target=targets/$(uname -m)-linux
    say "$toolkit/include|$toolkit/lib64" "$toolkit/include|$toolkit/lib" \
        "$toolkit/$target/include|$toolkit/$target/lib" "/usr/include|/usr/lib/$(uname -m)-linux-gnu"
    for wheel in "${wheel_folders[@]}"; do
        for folder in "$wheel"/nvidia/*/; do say "${folder}include|${folder}lib"; done
    done
}

# Finds header and library of $1 in one place. The wheels' libraries have their version in the name and no plain link.
find_library() {
    local place found lonely=
    while IFS= read -r place; do
        [[ -f ${place%|*}/${header[$1]} ]] || continue
        found=("${place#*|}/lib$1".so*)
        if [[ -e ${found[0]} ]]; then
            include_of[$1]=${place%|*} library_of[$1]=${found[0]}
            return
        fi
        lonely=${lonely:-${place%|*}/${header[$1]}}
    done < <(places)
    [[ -z $lonely ]] || fail "$lonely is there, but not lib$1.so beside it; install the library that belongs to it," \
        "or remove the header to have NVIDIA's wheel taken"
    missing_libraries+=("$1")
}

find_libraries() {
    local name
    missing_libraries=()
    # the toolkit's own headers may come without these libraries' own
    for name in cublas curand ${with_cudnn:+cudnn} ${with_nccl:+nccl}; do find_library "$name"; done
    if [[ -n ${library_of[cudnn]:-} ]]; then check_cudnn; fi
}

check_cudnn() {
    local file=${include_of[cudnn]}/cudnn_version.h
    [[ -f $file ]] || file=${include_of[cudnn]}/cudnn.h
    cudnn_version=$(sed -nE 's/^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) +([0-9]+).*/\2/p' "$file" | paste -sd .)
    # NVIDIA's support matrices list Kepler up to cuDNN 8.5, and no longer at 8.9
    ((architectures[0] >= 50)) || is_before "$cudnn_version" 8.6 ||
        fail "cuDNN $cudnn_version ($file) has nothing for sm_${architectures[0]}; leave --cudnn out, or use cuDNN 8.5"
}

# The wheel that has library $1, as pip names it.
wheel_of() {
    local cudnn_11=8.9.6.50
    if ((architectures[0] < 50)); then cudnn_11=8.5.0.96; fi # see check_cudnn
    case $1-$cuda_major in
        cublas-* | curand-*) say "cuda-toolkit[cublas,curand]==$cuda_version.*" ;;
        cudnn-11) say "nvidia-cudnn-cu11==$cudnn_11" ;;
        cudnn-12) say nvidia-cudnn-cu12==9.10.2.21 ;;
        cudnn-*) say "nvidia-cudnn-cu$cuda_major==9.28.1.4" ;;
        nccl-11) say nvidia-nccl-cu11==2.21.5 ;;
        nccl-*) say "nvidia-nccl-cu$cuda_major==2.28.9" ;;
    esac
}

# A folder a wheel, beside the builds: they load their libraries from there.
wheel_folder() { say "$cache/wheels/${1//[^a-z0-9.=-]/_}"; }

set_wheel_folders() {
    local name
    if [[ -n ${CUDA_WHEELS:-} ]]; then
        [[ -d $CUDA_WHEELS/nvidia ]] || fail "CUDA_WHEELS: there is no folder nvidia in $CUDA_WHEELS; name the" \
            "site-packages folder that NVIDIA's wheels are installed in"
        wheel_folders=("$(realpath -- "$CUDA_WHEELS")")
    else
        for name in cublas cudnn nccl; do wheel_folders+=("$(wheel_folder "$(wheel_of "$name")")"); done
    fi
}

get_wheels() {
    local name wheel folder
    for name in "${missing_libraries[@]}"; do
        [[ -z ${CUDA_WHEELS:-} ]] || fail "CUDA_WHEELS: there is no lib$name for CUDA $cuda_version in $CUDA_WHEELS"
        wheel=$(wheel_of "$name") folder=$(wheel_folder "$(wheel_of "$name")")
        [[ ! -d $folder ]] || continue
        say "Fetching NVIDIA's wheel $wheel ..."
        rm -rf "$folder.partial"
        logged "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --target "$folder.partial" \
            "$wheel" || fail_with_log "pip could not fetch $wheel, as $toolkit and the system have no lib$name; where" \
            "there is no network, name a folder with NVIDIA's wheels as CUDA_WHEELS"
        mv "$folder.partial" "$folder"
    done
    if ((${#missing_libraries[@]})); then find_libraries; fi
    ((!${#missing_libraries[@]})) || fail "there is no lib${missing_libraries[0]} in $folder"
}

# ---- all of it -----------------------------------------------------------------------------------------------------

# What can be known before anything is installed.
look_for_cuda() {
    find_toolkit
    check_driver
    select_architectures
    set_wheel_folders
    find_libraries
}

# A toolkit takes the g++ of its time and older ones; with a g++ that is too new, another version's may be there.
find_host_compiler() {
    local complaint first=
    while IFS= read -r host_compiler; do
        complaint=$("$nvcc" -ccbin "$host_compiler" -E -x cu /dev/null 2>&1 >/dev/null) && return
        first=${first:-$complaint}
    done < <(say /usr/bin/g++ && say /usr/bin/g++-[0-9]* | sort -rV)
    fail "CUDA $cuda_version in $toolkit cannot use g++ $(g++ -dumpfullversion) ($(grep -m 1 -i error <<<"$first"));" \
        "install an older one beside it, such as g++-11"
}

# One line for each thing that goes into a CUDA build and not into the CPU's.
cuda_fingerprint() {
    "$nvcc" --version
    "$host_compiler" -dumpfullversion
    say "$toolkit" "${architectures[*]}" "${library_of[@]}" "${cudnn_version:-}"
}

cuda_in_words() {
    say "CUDA $cuda_version, ${cudnn_version:+cuDNN }${cudnn_version:-no cuDNN}${with_nccl:+, NCCL}, GPUs of sm_$(
        IFS=, && say "${architectures[*]}") and newer"
}

# Puts into folder $1/cuda what a build looks for there, and sets CMake's `cuda_flags` and g++'s `cuda_cxx_flags`.
configure_cuda() {
    local folder=$1/cuda name run_paths="-Wl,--as-needed" nvcc_flags="-O3;-w"
    run_paths+=" -Wl,-rpath,\"$(cuda_runtime_folder)\""
    mkdir -p "$folder/lib" "$folder/include"
    # Caffe's tests call kernels of the library, which CUDA 13 keeps to itself
    if [[ -n $with_tests && $("$nvcc" --help) == *--static-global-template-stub* ]]; then
        nvcc_flags+=";--static-global-template-stub=false;--device-entity-has-hidden-visibility=false"
    fi
    cuda_cxx_flags=
    # where CUDA 13 keeps thrust: nvcc knows, g++ does not
    if [[ -d $toolkit/include/cccl ]]; then cuda_cxx_flags=" -isystem \"$toolkit/include/cccl\""; fi
    for name in "${!library_of[@]}"; do
        ln -s "${library_of[$name]}" "$folder/lib/lib$name.so"
        run_paths+=" -Wl,-rpath,\"$(dirname "${library_of[$name]}")\""
        [[ ${include_of[$name]} != /usr/include ]] || continue # g++ has that in its own order
        cuda_cxx_flags+=" -isystem \"${include_of[$name]}\""
        nvcc_flags+=";-isystem;${include_of[$name]}"
    done
    cuda_flags=(-DCPU_ONLY=OFF "-DUSE_CUDNN=${with_cudnn:-OFF}" "-DUSE_NCCL=${with_nccl:-OFF}"
        "-DCUDA_TOOLKIT_ROOT_DIR=$toolkit" "-DCUDA_HOST_COMPILER=$host_compiler" "-DCUDA_NVCC_FLAGS=$nvcc_flags"
        -DCUDA_PROPAGATE_HOST_FLAGS=OFF # compat.h is for what g++ compiles
        -DCUDA_ARCH_NAME=Manual "-DCUDA_ARCH_BIN=${architectures[*]}" "-DCUDA_ARCH_PTX=$ptx"
        "-DCMAKE_LIBRARY_PATH=$folder/lib" "-DCMAKE_SHARED_LINKER_FLAGS=$run_paths"
        "-DCMAKE_MODULE_LINKER_FLAGS=$run_paths" "-DCMAKE_EXE_LINKER_FLAGS=$run_paths")
    if [[ -n $with_nccl ]]; then
        cuda_flags+=("-DNCCL_INCLUDE_DIR=${include_of[nccl]}" "-DNCCL_LIBRARIES=$folder/lib/libnccl.so")
    fi
    if [[ -n $with_cudnn ]]; then
        # Caffe reads the version in cudnn.h, which cuDNN 8 keeps in another file
        awk -F . '{print "#define CUDNN_MAJOR " $1 "\n#define CUDNN_MINOR " $2 "\n#define CUDNN_PATCHLEVEL " $3}
            END {print "#include_next <cudnn.h>"}' <<<"$cudnn_version" >"$folder/include/cudnn.h"
        cuda_flags+=("-DCUDNN_INCLUDE=$folder/include" "-DCUDNN_LIBRARY=$folder/lib/libcudnn.so")
    fi
}

# The folder of libcudart.so; the system's, which is always searched, where the toolkit has none.
cuda_runtime_folder() {
    local folder
    for folder in "$toolkit/lib64" "$toolkit/lib" "$toolkit/targets/$(uname -m)-linux/lib"; do
        if [[ -e $folder/libcudart.so ]]; then say "$folder" && return; fi
    done
    say "/usr/lib/$(uname -m)-linux-gnu"
}
