"""The CUDA sections of tools/caffe_build/compat.h, compiled against stubs of CUDA's and cuDNN's headers."""

import subprocess

import pytest
import runs

CUDA = """
#pragma once
#define CUDART_VERSION 13000
enum cudaError_t { cudaSuccess = 0, cudaErrorInsufficientDriver = 35, cudaErrorNoDevice = 100, cudaErrorOther = 7 };
enum cudaDeviceAttr { cudaDevAttrClockRate = 13, cudaDevAttrGpuOverlap = 15, cudaDevAttrKernelExecTimeout = 17 };
struct cudaDeviceProp { int major; };
inline cudaError_t present = cudaSuccess;
inline int asked = 0, forgotten = 0;
inline cudaError_t cudaGetDevice(int* device) { *device = 2; return present; }
inline cudaError_t cudaSetDevice(int device) { asked = device; return present; }
inline cudaError_t cudaGetLastError() { ++forgotten; return present; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  *value = 100 * device + attribute;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  properties->major = device;
  return cudaSuccess;
}
"""

CUBLAS = """
#pragma once
typedef int* cublasHandle_t;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0 };
inline int made = 0;
inline cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { *handle = &made; return CUBLAS_STATUS_SUCCESS; }
#define cublasCreate cublasCreate_v2
"""

CURAND = """
#pragma once
typedef int* curandGenerator_t;
enum curandStatus_t { CURAND_STATUS_SUCCESS = 0, CURAND_STATUS_NOT_INITIALIZED = 101 };
enum curandRngType_t { CURAND_RNG_PSEUDO_DEFAULT = 100 };
inline int seeded = 0;
inline curandStatus_t curandCreateGenerator(curandGenerator_t* generator, curandRngType_t) {
  *generator = &seeded;
  return CURAND_STATUS_SUCCESS;
}
inline curandStatus_t take(curandGenerator_t generator, int number) {
  if (generator != &seeded) return CURAND_STATUS_NOT_INITIALIZED;
  seeded += number;
  return CURAND_STATUS_SUCCESS;
}
inline curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t generator, unsigned long long) {
  return take(generator, 1);
}
inline curandStatus_t curandSetGeneratorOffset(curandGenerator_t generator, unsigned long long) {
  return take(generator, 10);
}
inline curandStatus_t curandDestroyGenerator(curandGenerator_t generator) { return take(generator, 100); }
"""

CUDNN = """
#pragma once
#include <cstddef>
#define CUDNN_MAJOR 9
enum cudnnStatus_t { CUDNN_STATUS_SUCCESS = 0, CUDNN_STATUS_NOT_SUPPORTED = 9, CUDNN_STATUS_BAD_PARAM = 3 };
enum cudnnMathType_t { CUDNN_DEFAULT_MATH, CUDNN_FMA_MATH = 3 };
typedef int cudnnHandle_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t;
typedef int* cudnnConvolutionDescriptor_t;
typedef int cudnnConvolutionFwdAlgo_t, cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionBwdDataAlgo_t;
struct Row { int algo; cudnnStatus_t status; std::size_t memory; };
typedef Row cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionBwdDataAlgoPerf_t;
inline Row rows[8];
inline int number = 0;
inline cudnnStatus_t listing = CUDNN_STATUS_SUCCESS;
inline cudnnStatus_t list(int most, int* count, Row* results) {
  for (*count = 0; *count < number && *count < most; ++*count) results[*count] = rows[*count];
  return listing;
}
inline cudnnStatus_t cudnnSetConvolutionMathType(int* convolution, cudnnMathType_t type) {
  *convolution = type;
  return CUDNN_STATUS_SUCCESS;
}
#define LIST(name, A, B, C, D) \\
  inline cudnnStatus_t name(int, A, B, C, D, int most, int* count, Row* results) { return list(most, count, results); }
LIST(cudnnGetConvolutionForwardAlgorithm_v7, int, int, int*, int)
LIST(cudnnGetConvolutionBackwardFilterAlgorithm_v7, int, int, int*, int)
LIST(cudnnGetConvolutionBackwardDataAlgorithm_v7, int, int, int*, int)
#define SIZE(name) \\
  inline cudnnStatus_t name(int, int, int, int*, int, int algorithm, std::size_t* size) { \\
    *size = algorithm; \\
    return CUDNN_STATUS_SUCCESS; \\
  }
SIZE(cudnnGetConvolutionForwardWorkspaceSize)
SIZE(cudnnGetConvolutionBackwardDataWorkspaceSize)
inline cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(int, int, int, int*, int, int algorithm,
                                                                    std::size_t* size) {
  *size = algorithm;
  return CUDNN_STATUS_SUCCESS;
}
"""

PROGRAM = """
#include <cstdio>
#include <cstdlib>

// What Caffe's calls come to; written as Caffe writes them.
int main(int words, char** word) {
  int device = 0, algorithm = -1, convolution = 0;
  std::size_t size = 0;
  cudaDeviceProp prop;
  cudaGetDeviceProperties(&prop, 1);
  std::printf("%d %d %d %d\\n", prop.major, prop.clockRate, prop.deviceOverlap, prop.kernelExecTimeoutEnabled);
  for (cudaError_t status : {cudaSuccess, cudaErrorInsufficientDriver, cudaErrorNoDevice, cudaErrorOther}) {
    present = status;
    asked = -5;
    const int got = cudaGetDevice(&device), back = cudaSetDevice(device), other = cudaSetDevice(0);
    std::printf("%d:%d %d %d ", got, device, back, other);
  }
  for (cudaError_t status : {cudaSuccess, cudaErrorNoDevice}) {
    present = status;
    cublasHandle_t handle = nullptr;
    curandGenerator_t generator = nullptr;
    const int failed = cublasCreate(&handle) + curandCreateGenerator(&generator, CURAND_RNG_PSEUDO_DEFAULT) +
                       curandSetPseudoRandomGeneratorSeed(generator, 42) + curandSetGeneratorOffset(generator, 0) +
                       curandDestroyGenerator(generator);
    std::printf("%d %d %d %d ", failed, handle != nullptr, generator != nullptr, seeded);
    seeded = 0;
  }
  std::printf("%d\\n", forgotten);
  for (number = 0; 3 * number + 3 < words; ++number) {
    char** row = word + 3 * number + 1;
    rows[number] = {std::atoi(row[0]), cudnnStatus_t(std::atoi(row[1])), std::size_t(std::atoi(row[2]))};
  }
  const int status[] = {
      cudnnGetConvolutionForwardAlgorithm(0, 0, 0, &convolution, 0, CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT,
                                          100, &algorithm),
      cudnnGetConvolutionBackwardFilterAlgorithm(
          0, 0, 0, &convolution, 0, CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT, 100, &algorithm),
      cudnnGetConvolutionBackwardDataAlgorithm(0, 0, 0, &convolution, 0,
                                               CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT, 100, &algorithm)};
  std::printf("%d %d %d algorithm %d math %d sizes", status[0], status[1], status[2], algorithm, convolution);
  for (int bytes : {0, 1, 256, 257}) {
    cudnnGetConvolutionForwardWorkspaceSize(0, 0, 0, &convolution, 0, bytes, &size);
    std::printf(" %zu", size);
    cudnnGetConvolutionBackwardFilterWorkspaceSize(0, 0, 0, &convolution, 0, bytes, &size);
    std::printf(" %zu", size);
    cudnnGetConvolutionBackwardDataWorkspaceSize(0, 0, 0, &convolution, 0, bytes, &size);
    std::printf(" %zu", size);
  }
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A program whose argument words are the rows that cuDNN lists: algorithm, status, bytes."""
    folder = tmp_path_factory.mktemp("compat")
    (folder / "cuda_runtime.h").write_text(CUDA)
    (folder / "cudnn.h").write_text(CUDNN)
    (folder / "cublas_v2.h").write_text(CUBLAS)
    (folder / "curand.h").write_text(CURAND)
    (folder / "program.cpp").write_text(PROGRAM)
    header = runs.ROOT / "tools" / "caffe_build" / "compat.h"
    subprocess.run(
        [
            "/usr/bin/g++",
            "-std=c++17",
            "-Wall",
            "-Werror",
            "-DUSE_CUDNN",
            "-I",
            folder,
            "-include",
            header,
            folder / "program.cpp",
            "-o",
            folder / "program",
        ],
        check=True,
    )
    return lambda *rows: subprocess.run(
        [folder / "program", *(str(word) for row in rows for word in row)], check=True, capture_output=True, text=True
    ).stdout.splitlines()


def test_device_query_finds_the_members_that_cuda_13_dropped(program):
    assert program()[0] == "1 113 115 117"


def test_without_a_driver_or_a_gpu_the_present_device_is_one_that_can_be_set_again(program):
    """Each case: what asking gives and the device, setting that again, setting device 0.  Then what the handles are."""
    assert program()[1].split(" ") == [
        "0:2",
        "0",
        "0",
        "0:-1",
        "0",
        "35",
        "0:-1",
        "0",
        "100",
        "7:2",
        "7",
        "7",
        "0",
        "1",
        "1",
        "111",
        "0",
        "0",
        "1",
        "0",
        "4",
    ]


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
