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
#define LIST(name, A, B, C, D) \
  inline cudnnStatus_t name(int, A, B, C, D, int most, int* count, Row* results) { return list(most, count, results); }
LIST(cudnnGetConvolutionForwardAlgorithm_v7, int, int, int*, int)
LIST(cudnnGetConvolutionBackwardFilterAlgorithm_v7, int, int, int*, int)
LIST(cudnnGetConvolutionBackwardDataAlgorithm_v7, int, int, int*, int)
#define SIZE(name) \
  inline cudnnStatus_t name(int, int, int, int*, int, int algorithm, std::size_t* size) { \
    *size = algorithm; \
    return CUDNN_STATUS_SUCCESS; \
  }
SIZE(cudnnGetConvolutionForwardWorkspaceSize)
SIZE(cudnnGetConvolutionBackwardDataWorkspaceSize)
inline cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(int, int, int, int*, int, int algorithm,
                                                                    std::size_t* size) {
  *size = algorithm;
  return CUDNN_STATUS_SUCCESS;
}
