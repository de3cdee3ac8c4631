"""The nets in Caffe, PyTorch and ONNX, their weights, and one interface to run them."""

import os

os.environ.setdefault("GLOG_minloglevel", "2")  # else Caffe prints the whole net; it reads this when imported
