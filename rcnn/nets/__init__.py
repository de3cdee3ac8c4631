"""The nets in Caffe, PyTorch and ONNX, their weights, and one interface to run them."""
