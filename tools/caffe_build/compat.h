// Stands in for what BVLC Caffe (2018) expects of its libraries and today's versions no longer have.
//
// The build gives this header to the compiler with -include, ahead of every source file, so that Caffe's own tree
// stays as BVLC left it. One section a breakage: where Caffe trips, since when, and the remedy; the last one is about
// speed. A section that needs a library's header guards it with __has_include, as the same flags also compile files
// that do not see that library.
#ifndef GOOGLENET_RCNN_CAFFE_COMPAT_H_
#define GOOGLENET_RCNN_CAFFE_COMPAT_H_

#ifdef __cplusplus

// ---- Python 3.14: `import caffe` dies in python/caffe/_caffe.cpp ----------------------------------------------------
// Boost.Python writes signatures for docstrings where a property is set, which is before the module has loaded NumPy.
#define BOOST_PYTHON_NO_PY_SIGNATURES

// ---- protobuf 3.20: CodedInputStream::SetTotalBytesLimit has one argument (util/io.cpp:60) -------------------------
// The second one, a size to warn at, is dropped. The header comes first, so that the macro does not rewrite the
// declaration itself.
#if __has_include(<google/protobuf/io/coded_stream.h>)
#include <google/protobuf/io/coded_stream.h>
#define SetTotalBytesLimit(limit, ...) SetTotalBytesLimit(limit)
#endif

// ---- OpenCV 4: the CV_LOAD_IMAGE_* constants (util/io.cpp, layers/window_data_layer.cpp) ---------------------------
// OpenCV 4 keeps them in a header that its C++ headers do not include. OpenCV 3 still has them by itself.
#if __has_include(<opencv2/imgcodecs/legacy/constants_c.h>)
#include <opencv2/imgcodecs/legacy/constants_c.h>
#endif

// ---- CUDA 13: cudaDeviceProp has lost three members that `caffe device_query` prints (common.cpp) ------------------
// A struct that has them takes its place, and an overload fills them in.
#if !defined(CPU_ONLY) && __has_include(<cuda_runtime.h>)
#include <cuda_runtime.h>

#if CUDART_VERSION >= 13000
namespace googlenet_rcnn {

struct DeviceProperties : cudaDeviceProp {
  int clockRate;
  int deviceOverlap;
  int kernelExecTimeoutEnabled;
};

}  // namespace googlenet_rcnn

inline cudaError_t cudaGetDeviceProperties(googlenet_rcnn::DeviceProperties* properties, int device) {
  cudaDeviceGetAttribute(&properties->clockRate, cudaDevAttrClockRate, device);
  cudaDeviceGetAttribute(&properties->deviceOverlap, cudaDevAttrGpuOverlap, device);
  cudaDeviceGetAttribute(&properties->kernelExecTimeoutEnabled, cudaDevAttrKernelExecTimeout, device);
  return cudaGetDeviceProperties(static_cast<cudaDeviceProp*>(properties), device);
}

#define cudaDeviceProp googlenet_rcnn::DeviceProperties
#endif
#endif

// ---- cuDNN 8: cudnnGetConvolution*Algorithm are gone (layers/cudnn_conv_layer.cpp, cudnn_deconv_layer.cpp) ---------
// Their successors (*_v7) list the algorithms, the one expected to be fastest first, and take no limit of memory.
// FMA_MATH keeps fp32 what cuDNN would compute in TF32. Caffe cuts one workspace into a slice a group, and cuDNN 9
// rejects a slice that is not aligned, so that sizes become multiples of 256 bytes.
#if defined(USE_CUDNN) && __has_include(<cudnn.h>)
#include <cstddef>
#include <cudnn.h>

#if CUDNN_MAJOR >= 8
namespace googlenet_rcnn {

// The first algorithm that needs at most `limit` bytes, else the one that needs the fewest. `list` is the *_v7
// function, `Result` a row of its list, `arguments` what the function takes before the list.
template <typename Result, typename List, typename Algorithm, typename... Arguments>
cudnnStatus_t choose(List list, std::size_t limit, Algorithm* algorithm, Arguments... arguments) {
  const int most = 32;  // no kind has as many
  Result results[most];
  int count = 0;
  const cudnnStatus_t status = list(arguments..., most, &count, results);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  const Result* best = nullptr;
  for (const Result* result = results; result != results + count; ++result) {
    if (result->status != CUDNN_STATUS_SUCCESS) continue;
    if (!best || (best->memory > limit && result->memory < best->memory)) best = result;
  }
  if (!best) return CUDNN_STATUS_NOT_SUPPORTED;
  *algorithm = best->algo;
  return CUDNN_STATUS_SUCCESS;
}

// Calls cudnnGetConvolution*WorkspaceSize, whose last argument is `size`, and rounds the size up.
template <typename Get, typename... Arguments>
cudnnStatus_t rounded(Get get, std::size_t* size, Arguments... arguments) {
  const cudnnStatus_t status = get(arguments..., size);
  *size = (*size + 255) / 256 * 256;
  return status;
}

inline cudnnStatus_t forward_size(cudnnHandle_t handle, cudnnTensorDescriptor_t bottom, cudnnFilterDescriptor_t weight,
                                  cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t top,
                                  cudnnConvolutionFwdAlgo_t algorithm, std::size_t* size) {
  return rounded(cudnnGetConvolutionForwardWorkspaceSize, size, handle, bottom, weight, convolution, top, algorithm);
}

inline cudnnStatus_t filter_size(cudnnHandle_t handle, cudnnTensorDescriptor_t bottom, cudnnTensorDescriptor_t top,
                                 cudnnConvolutionDescriptor_t convolution, cudnnFilterDescriptor_t weight,
                                 cudnnConvolutionBwdFilterAlgo_t algorithm, std::size_t* size) {
  return rounded(cudnnGetConvolutionBackwardFilterWorkspaceSize, size, handle, bottom, top, convolution, weight,
                 algorithm);
}

inline cudnnStatus_t data_size(cudnnHandle_t handle, cudnnFilterDescriptor_t weight, cudnnTensorDescriptor_t top,
                               cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t bottom,
                               cudnnConvolutionBwdDataAlgo_t algorithm, std::size_t* size) {
  return rounded(cudnnGetConvolutionBackwardDataWorkspaceSize, size, handle, weight, top, convolution, bottom,
                 algorithm);
}

}  // namespace googlenet_rcnn

enum {  // what the old functions were told about memory; Caffe always says that there is a limit
  CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT,
  CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT,
  CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT,
};

// Caffe asks for the forward algorithm first, right after it has set the convolution.
inline cudnnStatus_t cudnnGetConvolutionForwardAlgorithm(
    cudnnHandle_t handle, cudnnTensorDescriptor_t bottom, cudnnFilterDescriptor_t weight,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t top, int, std::size_t limit,
    cudnnConvolutionFwdAlgo_t* algorithm) {
  const cudnnStatus_t status = cudnnSetConvolutionMathType(convolution, CUDNN_FMA_MATH);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  return googlenet_rcnn::choose<cudnnConvolutionFwdAlgoPerf_t>(
      cudnnGetConvolutionForwardAlgorithm_v7, limit, algorithm, handle, bottom, weight, convolution, top);
}

inline cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm(
    cudnnHandle_t handle, cudnnTensorDescriptor_t bottom, cudnnTensorDescriptor_t top,
    cudnnConvolutionDescriptor_t convolution, cudnnFilterDescriptor_t weight, int, std::size_t limit,
    cudnnConvolutionBwdFilterAlgo_t* algorithm) {
  return googlenet_rcnn::choose<cudnnConvolutionBwdFilterAlgoPerf_t>(
      cudnnGetConvolutionBackwardFilterAlgorithm_v7, limit, algorithm, handle, bottom, top, convolution, weight);
}

inline cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm(
    cudnnHandle_t handle, cudnnFilterDescriptor_t weight, cudnnTensorDescriptor_t top,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t bottom, int, std::size_t limit,
    cudnnConvolutionBwdDataAlgo_t* algorithm) {
  return googlenet_rcnn::choose<cudnnConvolutionBwdDataAlgoPerf_t>(
      cudnnGetConvolutionBackwardDataAlgorithm_v7, limit, algorithm, handle, weight, top, convolution, bottom);
}

#define cudnnGetConvolutionForwardWorkspaceSize googlenet_rcnn::forward_size
#define cudnnGetConvolutionBackwardFilterWorkspaceSize googlenet_rcnn::filter_size
#define cudnnGetConvolutionBackwardDataWorkspaceSize googlenet_rcnn::data_size
#endif
#endif

// ---- A machine without a GPU: a build with CUDA asks for one before it reads data on the CPU (internal_thread.cpp) --
// There the present device is called -1 here, and making that the present one succeeds; other numbers fail as before.
// Nor does each program complain there that cuBLAS and cuRAND are not to be had (common.cpp).
#if !defined(CPU_ONLY) && __has_include(<cuda_runtime.h>) && __has_include(<cublas_v2.h>) && __has_include(<curand.h>)
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <curand.h>

namespace googlenet_rcnn {

inline cudaError_t get_device(int* device) {
  const cudaError_t status = cudaGetDevice(device);
  if (status != cudaErrorInsufficientDriver && status != cudaErrorNoDevice) return status;
  cudaGetLastError();  // forgets it
  *device = -1;
  return cudaSuccess;
}

inline cudaError_t set_device(int device) { return device == -1 ? cudaSuccess : cudaSetDevice(device); }

inline bool has_device() {
  int device;
  return get_device(&device) != cudaSuccess || device != -1;
}

inline cublasStatus_t create_blas(cublasHandle_t* handle) {
  return has_device() ? cublasCreate(handle) : CUBLAS_STATUS_SUCCESS;  // Caffe has set it to NULL
}

// Stands for the generator of random numbers that there is none of.
inline curandGenerator_t no_generator() {
  static int none;
  return reinterpret_cast<curandGenerator_t>(&none);
}

inline curandStatus_t create_generator(curandGenerator_t* generator, curandRngType_t type) {
  if (has_device()) return curandCreateGenerator(generator, type);
  *generator = no_generator();
  return CURAND_STATUS_SUCCESS;
}

inline curandStatus_t seed_generator(curandGenerator_t generator, unsigned long long seed) {
  return generator == no_generator() ? CURAND_STATUS_SUCCESS : curandSetPseudoRandomGeneratorSeed(generator, seed);
}

inline curandStatus_t offset_generator(curandGenerator_t generator, unsigned long long offset) {
  return generator == no_generator() ? CURAND_STATUS_SUCCESS : curandSetGeneratorOffset(generator, offset);
}

inline curandStatus_t destroy_generator(curandGenerator_t generator) {
  return generator == no_generator() ? CURAND_STATUS_SUCCESS : curandDestroyGenerator(generator);
}

}  // namespace googlenet_rcnn

#define cudaGetDevice(device) googlenet_rcnn::get_device(device)
#define cudaSetDevice(device) googlenet_rcnn::set_device(device)
#undef cublasCreate
#define cublasCreate(handle) googlenet_rcnn::create_blas(handle)
#define curandCreateGenerator(generator, type) googlenet_rcnn::create_generator(generator, type)
#define curandSetPseudoRandomGeneratorSeed(generator, seed) googlenet_rcnn::seed_generator(generator, seed)
#define curandSetGeneratorOffset(generator, offset) googlenet_rcnn::offset_generator(generator, offset)
#define curandDestroyGenerator(generator) googlenet_rcnn::destroy_generator(generator)
#endif

// ---- LMDBs that may be read and not written: LMDB wants to write their lock file (util/db_lmdb.cpp) ----------------
// It gives up where it may not, but on file systems that are read-only as a whole. Who cannot write takes no part in
// locking, as there; the check of rights must not open the file, since closing it would drop this process's locks.
#if __has_include(<lmdb.h>)
#include <lmdb.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace googlenet_rcnn {

inline int open_lmdb(MDB_env* environment, const char* path, unsigned int flags, mdb_mode_t mode) {
  const std::string lock = std::string(path) + "/lock.mdb";
  const bool there = access(lock.c_str(), F_OK) == 0;
  const bool refused = access(there ? lock.c_str() : path, W_OK) != 0 && errno == EACCES;
  return mdb_env_open(environment, path, flags & MDB_RDONLY && refused ? flags | MDB_NOLOCK : flags, mode);
}

}  // namespace googlenet_rcnn

#define mdb_env_open(environment, path, flags, mode) googlenet_rcnn::open_lmdb(environment, path, flags, mode)
#endif

// ---- Speed, not a breakage: cv::imdecode spends half its time on the order of the colours (util/io.cpp) ------------
// OpenCV 4.6 has libjpeg-turbo write RGB and then swaps red and blue byte by byte, which takes longer than decoding.
// Here libjpeg-turbo writes BGR itself. Its other settings are the defaults, as in OpenCV, so the pixels are the same.
// Only sound colour JPEGs go this way. OpenCV itself decodes everything else: other formats, grey and CMYK JPEGs, ones
// with an APP1 segment (it may hold an EXIF orientation to apply), and those where libjpeg has as much as a warning.
#if __has_include(<opencv2/imgcodecs.hpp>) && __has_include(<jpeglib.h>)
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <vector>

#include <jpeglib.h>  // after <cstddef> and <cstdio>, which it takes for granted
#include <opencv2/imgcodecs.hpp>

#ifdef JCS_EXTENSIONS  // libjpeg-turbo's own, which has BGR
namespace googlenet_rcnn {

struct JpegReader {
  jpeg_decompress_struct jpeg = {};
  jpeg_error_mgr errors;
  std::jmp_buf failed;

  JpegReader() {
    jpeg.err = jpeg_std_error(&errors);
    jpeg.client_data = &failed;
    errors.error_exit = fail;
    errors.emit_message = fail_if_warning;
  }
  ~JpegReader() { jpeg_destroy_decompress(&jpeg); }

  static void fail(j_common_ptr jpeg) { std::longjmp(*static_cast<std::jmp_buf*>(jpeg->client_data), 1); }
  static void fail_if_warning(j_common_ptr jpeg, int level) {
    if (level < 0) fail(jpeg);
  }
};

const std::size_t kMaxPixels = 1 << 30;  // OpenCV refuses larger ones

// Decodes into `image`, or returns false. No object with a destructor is made between setjmp and what may jump there.
inline bool decode_jpeg(const std::vector<char>& data, cv::Mat* image) {
  JpegReader reader;
  jpeg_decompress_struct& jpeg = reader.jpeg;
  if (setjmp(reader.failed)) return false;
  jpeg_create_decompress(&jpeg);
  jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xffff);
  jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(data.data()), data.size());
  jpeg_read_header(&jpeg, TRUE);
  const std::size_t pixels = std::size_t(jpeg.image_width) * jpeg.image_height;
  if (jpeg.num_components != 3 || jpeg.marker_list || pixels > kMaxPixels) return false;
  jpeg.out_color_space = JCS_EXT_BGR;
  jpeg_start_decompress(&jpeg);
  image->create(jpeg.output_height, jpeg.output_width, CV_8UC3);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = image->ptr(jpeg.output_scanline);
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

}  // namespace googlenet_rcnn

namespace cv {

inline Mat imdecode_quickly(const std::vector<char>& data, int flags) {
  Mat image;
  const bool in_colour = flags == IMREAD_UNCHANGED || flags == IMREAD_COLOR;
  return in_colour && googlenet_rcnn::decode_jpeg(data, &image) ? image : imdecode(data, flags);
}

}  // namespace cv

#define imdecode(data, flags) imdecode_quickly(data, flags)
#endif  // JCS_EXTENSIONS
#endif

#endif  // __cplusplus

#endif  // GOOGLENET_RCNN_CAFFE_COMPAT_H_
