"""What tools/install_caffe.sh --cuda checks and chooses before it compiles, on toolkits and drivers that are stubs."""

import os
import re
import stat
import subprocess

import pytest
import runs

INSTALLER = runs.ROOT / "tools" / "install_caffe.sh"
KNOWN = {
    "11.8": (35, 37, 50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90),
    "12.4": (50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90),
    "13.0": (75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121),
}


def program(path, text):
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def toolkit(folder, version, libraries=("cublas_v2.h cublas", "curand.h curand"), list_option=True):
    """Make a CUDA toolkit of which nothing works but what nvcc tells of itself; return its folder."""
    names = "\n".join(f"compute_{number}" for number in KNOWN.get(version, (35,)))
    listing = f"--list-gpu-arch) printf '{names}\\n' ;;" if list_option else "--list-gpu-arch) exit 1 ;;"
    program(
        folder / "bin" / "nvcc",
        f'case $1 in --version) echo "Cuda compilation tools, release {version}, V1" ;;\n'
        f'--dryrun) echo "#$ TOP={folder}/bin/.." >&2 ;; {listing}\n'
        f"--help) echo 'Allowed values: {names.replace(chr(10), ', ')}' ;; esac\n",
    )
    for pair in libraries:
        add_library(folder, *pair.split())
    return folder


def add_library(folder, header, name=None, text="", suffix=".so"):
    for place in ("include", "lib64"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "include" / header).write_text(text)
    if name:
        (folder / "lib64" / f"lib{name}{suffix}").touch()


def driver(folder, cuda="13.0", gpus=("9.0",)):
    """Make an nvidia-smi of a driver and GPUs; a driver of None knows no compute capabilities, as those of 2021."""
    listed = "\n".join(f"GPU {number}: Tesla (UUID)" for number in range(len(gpus)))
    query = "\n".join(gpus) if cuda else ""
    return program(
        folder / "nvidia-smi",
        f'case $1 in --query-gpu=*) printf "{query}\\n" ;; -L) echo "{listed}" ;;\n'
        f'*) echo "| Driver Version: 1  CUDA Version: {cuda} |" ;; esac\n',
    )


def environment(tmp_path, **variables):
    """Variables with no driver but a stub's, and nothing of an earlier build to go back to."""
    return {
        **os.environ,
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        **{name: str(value) for name, value in variables.items()},
    }


def refused(tmp_path, *options, **variables):
    """Run the installer; return its one line of complaint."""
    result = subprocess.run(
        [INSTALLER, *options],
        env=environment(tmp_path, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1 and result.stdout == "" and result.stderr.count("\n") == 1, result
    assert not (tmp_path / "cache").exists()
    return result.stderr


def shell(tmp_path, commands, **variables):
    """Run commands with the functions of cuda.sh after its toolkit was looked for; return what they printed."""
    preamble = (
        f"set -euo pipefail; shopt -s inherit_errexit; callers_path=$PATH cache={tmp_path}/cache "
        "asked_architectures=${ARCH:-} with_cudnn=${CUDNN:-} with_nccl=\n"
        'is_before() { [[ $1 != "$2" && $(say "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }\n'
        'say() { printf "%s\\n" "$@"; }\nfail() { echo "failed: $*"; exit 1; }\n'
        f"source {runs.ROOT}/tools/caffe_build/cuda.sh\n"
    )
    result = subprocess.run(
        ["bash", "-c", preamble + commands],
        env=environment(tmp_path, **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not result.stderr, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(
    "options, said", [("--cpu --cudnn", "choose one"), ("--arch", "--arch 35,75"), ("--arch=", "--arch 35,75")]
)
def test_options_that_are_wrong(tmp_path, options, said):
    words = options.replace("=", " =").split(" ")
    assert said in refused(tmp_path, *("" if word == "=" else word for word in words))


def test_cuda_home_without_nvcc(tmp_path):
    assert f"no bin/nvcc in {tmp_path}" in refused(tmp_path, "--cuda", CUDA_HOME=tmp_path)


@pytest.mark.skipif(
    os.path.exists("/usr/local/cuda/bin/nvcc") or os.path.exists("/usr/bin/nvcc"),
    reason="this machine has an nvcc where it is looked for",
)
def test_no_nvcc(tmp_path):
    complaint = refused(tmp_path, "--cuda")
    assert "no nvcc on PATH" in complaint and "CUDA_HOME" in complaint


@pytest.mark.parametrize(
    "version, arch, words",
    [
        ("13.0", "35", "--arch 35: CUDA 13.0 in {home} knows 75 80 86 87 .* 120 121; CUDA 11.8 is the last"),
        ("13.0", "9.0,sm_70", "--arch sm_70: CUDA 13.0 in {home} knows 75 80 .*; CUDA 12.9 is the last"),
        ("11.8", "100", "--arch 100: CUDA 11.8 in {home} knows 35 37 .*; a newer toolkit does"),
        ("11.8", "kepler", "--arch kepler: kepler is no compute capability"),
    ],
)
def test_architecture_that_the_toolkit_does_not_know(tmp_path, version, arch, words):
    home = toolkit(tmp_path / "cuda", version)
    assert re.search(words.format(home=home), refused(tmp_path, "--arch", arch, CUDA_HOME=home))


def broken_nvcc(folder):
    program(folder / "cuda/bin/nvcc", "exit 1\n")


def headers_alone(folder):
    add_library(folder / "cuda", "cudnn.h")


@pytest.mark.parametrize(
    "version, make, option, words",
    [
        ("10.2", str, "--cuda", r"CUDA 10\.2, .*CUDA 11 to 13"),
        ("13.0", broken_nvcc, "--cuda", "does not tell its version"),
        ("13.0", lambda folder: driver(folder, "12.4"), "--cuda", "driver here serves CUDA 12.4.* is CUDA 13.0"),
        ("13.0", lambda folder: driver(folder, "13.0", ["6.1"]), "--cuda", "the GPU here is of architecture 61"),
        ("13.0", headers_alone, "--cudnn", "/cuda/include/cudnn.h is there, but not libcudnn.so.*wheel"),
    ],
)
def test_what_does_not_go_together(tmp_path, version, make, option, words):
    """A toolkit too old, or that says nothing; a driver or GPU older than the toolkit; headers without the library."""
    home = toolkit(tmp_path / "cuda", version)
    make(tmp_path)
    assert re.search(words, refused(tmp_path, option, CUDA_HOME=home))


@pytest.mark.parametrize("version, works", [("8 5 0", True), ("8 9 6", False), ("9 1 0", False)])
def test_cudnn_that_has_dropped_the_k40(tmp_path, version, works):
    home = toolkit(tmp_path / "cuda", "11.8")
    names = ("MAJOR", "MINOR", "PATCHLEVEL")
    text = "".join(f"#define CUDNN_{name} {number}\n" for name, number in zip(names, version.split()))
    add_library(home, "cudnn.h", "cudnn", '#include "cudnn_version.h"\n')
    add_library(home, "cudnn_version.h", None, text)
    said = shell(tmp_path, 'look_for_cuda; echo "cuDNN $cudnn_version"', CUDA_HOME=home, ARCH="35", CUDNN="ON")
    dotted = version.replace(" ", ".")
    assert said == f"cuDNN {dotted}" if works else said.startswith(f"failed: cuDNN {dotted} ") and "sm_35" in said


def test_wheels_folder_without_wheels(tmp_path):
    home = toolkit(tmp_path / "cuda", "13.0", ())
    assert f"no folder nvidia in {tmp_path}" in refused(tmp_path, "--cuda", CUDA_HOME=home, CUDA_WHEELS=tmp_path)


ANY = (None, None)  # no driver
LOW, HIGH = ("13.0", ["3.5"]), ("13.0", ["12.0"])


@pytest.mark.parametrize(
    "version, machine, arch, expected",
    [
        ("11.8", ANY, "", "35 50 60 70 75 80 86 89 90 ptx 90"),
        ("12.4", ANY, "", "50 60 70 75 80 86 89 90 ptx 90"),
        ("13.0", ANY, "", "75 80 86 89 90 100 120 ptx 120"),
        ("13.0", ("13.0", ["9.0", "7.5", "9.0"]), "", "75 90 ptx 90"),
        ("11.8", LOW, "", "35 ptx 35"),
        ("11.8", HIGH, "", "90 ptx 90"),  # newer than the toolkit: from the newest PTX that it writes
        ("11.8", (None, ["3.5"]), "", "35 50 60 70 75 80 86 89 90 ptx 90"),  # a driver that does not tell
        ("11.8", ANY, "sm_75,3.5,75", "35 75 ptx 75"),  # in any spelling and order
    ],
)
def test_architectures(tmp_path, version, machine, arch, expected):
    """The usual ones where there is no GPU, those of the GPUs at hand, and those that are asked for."""
    cuda, gpus = machine
    if gpus:
        driver(tmp_path, cuda, gpus)
    home = toolkit(tmp_path / "cuda", version)
    words = 'find_toolkit; select_architectures; echo "${architectures[*]} ptx $ptx"'
    assert shell(tmp_path, words, CUDA_HOME=home, ARCH=arch) == expected


def test_old_toolkits_list_architectures_in_their_help(tmp_path):
    home = toolkit(tmp_path / "cuda", "11.8", list_option=False)
    assert shell(tmp_path, 'find_toolkit; echo "${known[*]}"', CUDA_HOME=home).startswith("35 37 50 52")


def test_toolkit_behind_a_script_on_the_path(tmp_path):
    home = toolkit(tmp_path / "cuda", "13.0")
    program(tmp_path / "nvcc", f'exec {home}/bin/nvcc "$@"\n')
    assert shell(tmp_path, 'unset CUDA_HOME; find_toolkit; echo "$toolkit $cuda_version"') == f"{home} 13.0"


def test_libraries_of_the_toolkit_come_before_those_of_the_wheels(tmp_path):
    home = toolkit(tmp_path / "cuda", "13.0", ["cublas_v2.h cublas"])
    wheels = tmp_path / "site"
    add_library(wheels / "nvidia" / "cu13", "cublas_v2.h", "cublas", suffix=".so.13")
    add_library(wheels / "nvidia" / "cu13", "curand.h", "curand", suffix=".so.10")
    (wheels / "nvidia" / "cu13" / "lib64").rename(wheels / "nvidia" / "cu13" / "lib")
    said = shell(
        tmp_path,
        'look_for_cuda; echo "${library_of[cublas]} ${library_of[curand]} ${#missing_libraries[@]}"',
        CUDA_HOME=home,
        CUDA_WHEELS=wheels,
    )
    assert said == f"{home}/lib64/libcublas.so {wheels}/nvidia/cu13/lib/libcurand.so.10 0"


@pytest.mark.parametrize(
    "version, arch, library, wheel",
    [
        ("13.0", "90", "curand", "cuda-toolkit[cublas,curand]==13.0.*"),
        ("11.8", "35", "cudnn", "nvidia-cudnn-cu11==8.5.0.96"),
        ("11.8", "90", "cudnn", "nvidia-cudnn-cu11==8.9.6.50"),
        ("12.4", "90", "nccl", "nvidia-nccl-cu12==2.28.9"),
    ],
)
def test_what_is_missing_comes_as_the_toolkits_wheel(tmp_path, version, arch, library, wheel):
    home = toolkit(tmp_path / "cuda", version)
    assert (
        shell(tmp_path, f"find_toolkit; select_architectures; wheel_of {library}", CUDA_HOME=home, ARCH=arch) == wheel
    )


def test_the_host_compiler_is_the_first_that_nvcc_takes(tmp_path):
    home = toolkit(tmp_path / "cuda", "11.8")
    compilers = sorted(path for path in os.listdir("/usr/bin") if path.startswith("g++"))
    program(home / "bin" / "nvcc", 'test "$2" = /usr/bin/g++\n')
    take = f'nvcc={home}/bin/nvcc toolkit={home} cuda_version=11.8; find_host_compiler; echo "$host_compiler"'
    assert compilers and shell(tmp_path, take) == "/usr/bin/g++"
    program(home / "bin" / "nvcc", 'echo "host_config.h:1: error: unsupported GNU version" >&2; exit 1\n')
    said = shell(tmp_path, take)
    assert said.startswith("failed: CUDA 11.8") and "unsupported GNU version" in said and "g++-11" in said


@pytest.mark.parametrize(
    "option, with_tests, expected",
    [
        ("--static-global-template-stub", "1", True),
        ("--static-global-template-stub", "", False),
        ("--other", "1", False),
    ],
)
def test_caffes_own_tests_see_the_librarys_kernels(tmp_path, option, with_tests, expected):
    """An nvcc that knows how to hide kernels is told not to, where what calls them is built."""
    home = toolkit(tmp_path / "cuda", "13.0")
    program(home / "bin" / "nvcc", f"echo '{option} {{true|false}}'\n")
    settings = f"nvcc={home}/bin/nvcc toolkit={home} with_tests={with_tests} host_compiler=g++"
    show = 'printf "%s\\n" "${cuda_flags[@]}"'
    flags = shell(tmp_path, f"{settings} architectures=(90) ptx=90; configure_cuda {tmp_path}; {show}")
    nvcc_flags = next(flag for flag in flags.splitlines() if flag.startswith("-DCUDA_NVCC_FLAGS="))
    assert ("--device-entity-has-hidden-visibility=false" in nvcc_flags) == expected
    assert ("--static-global-template-stub=false" in nvcc_flags) == expected
