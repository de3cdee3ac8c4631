// Stands in for what BVLC Caffe (2018) expects of its libraries and today's versions no longer have.
//
// The build gives this header to the compiler with -include, ahead of every source file, so that Caffe's own tree
// stays as BVLC left it. One section a breakage: where Caffe trips, since when, and the remedy. A section that needs a
// library's header guards it with __has_include, as the same flags also compile files that do not see that library.
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

#endif  // __cplusplus

#endif  // GOOGLENET_RCNN_CAFFE_COMPAT_H_
