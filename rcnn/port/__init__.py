"""The nets in PyTorch and ONNX, from the same description of the architecture, with Caffe's numbers and no Caffe."""
