// Stands in for what BVLC Caffe (2018) expects of its libraries and today's versions no longer have.
//
// The build gives this header to the compiler with -include, ahead of every source file, so that Caffe's own tree
// stays as BVLC left it. One section a breakage: where Caffe trips, since when, and the remedy; the last one is about
// speed. A section that needs a library's header guards it with __has_include, as the same flags also compile files
// that do not see that library.
#ifndef GOOGLENET_RCNN_CAFFE_COMPAT_H_
#define GOOGLENET_RCNN_CAFFE_COMPAT_H_

#ifdef __cplusplus

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
