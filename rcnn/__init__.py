"""GoogLeNet-RCNN: a recurrent convolutional neural network for video classification."""

__version__ = "0.2.0"
