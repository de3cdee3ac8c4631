"""The CUDA sections of tools/caffe_build/compat.h, compiled against the stubs of CUDA's headers in tests/compat/."""

import subprocess

import pytest
import runs

STUBS = runs.ROOT / "tests/compat"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A program whose argument words are the rows that cuDNN lists: algorithm, status, bytes."""
    out = tmp_path_factory.mktemp("compat") / "program"
    words = f"/usr/bin/g++ -std=c++17 -Wall -Werror -DUSE_CUDNN -I {STUBS} -include tools/caffe_build/compat.h"
    subprocess.run([*words.split(), STUBS / "program.cpp", "-o", out], cwd=runs.ROOT, check=True)

    def run(*rows):
        words = [str(word) for row in rows for word in row]
        return subprocess.run([out, *words], check=True, capture_output=True, text=True).stdout.splitlines()

    return run


def test_device_query_finds_the_members_that_cuda_13_dropped(program):
    assert program()[0] == "1 113 115 117"


def test_without_a_driver_or_a_gpu_the_present_device_is_one_that_can_be_set_again(program):
    """Each case: what asking gives and the device, setting that again, setting device 0.  Then what the handles are."""
    assert program()[1] == "0:2 0 0 0:-1 0 35 0:-1 0 100 7:2 7 7 0 1 1 111 0 0 1 0 4"


@pytest.mark.parametrize(
    "rows, status, algorithm",
    [
        ([(5, 0, 100), (6, 0, 1)], 0, 5),  # the first that fits
        ([(5, 0, 101), (6, 9, 1), (7, 0, 100)], 0, 7),  # not one that failed
        ([(5, 0, 300), (6, 0, 200), (7, 0, 250)], 0, 6),
        ([(5, 9, 1)], 9, -1),
        ([], 9, -1),
    ],
)
def test_the_algorithm_is_the_first_within_the_limit_else_the_smallest(program, rows, status, algorithm):
    assert program(*rows)[2].startswith(f"{status} {status} {status} algorithm {algorithm} ")


def test_arithmetic_is_float32_and_sizes_are_multiples_of_256(program):
    said = program((5, 0, 1))[2]
    assert "math 3 sizes" in said
    assert said.split()[-12:] == ["0"] * 3 + ["256"] * 6 + ["512"] * 3
