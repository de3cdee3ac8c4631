#pragma once
typedef int* cublasHandle_t;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0 };
inline int made = 0;
inline cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { *handle = &made; return CUBLAS_STATUS_SUCCESS; }
#define cublasCreate cublasCreate_v2
