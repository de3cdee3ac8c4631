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
