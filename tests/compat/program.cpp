#include <cstdio>
#include <cstdlib>

// What Caffe's calls come to; written as Caffe writes them.
int main(int words, char** word) {
  int device = 0, algorithm = -1, convolution = 0;
  std::size_t size = 0;
  cudaDeviceProp prop;
  cudaGetDeviceProperties(&prop, 1);
  std::printf("%d %d %d %d\n", prop.major, prop.clockRate, prop.deviceOverlap, prop.kernelExecTimeoutEnabled);
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
  std::printf("%d\n", forgotten);
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
