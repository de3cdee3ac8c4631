"""Layers that Caffe loads by name from a prototxt (`module: "layers.pair_augment"`); thin shells over `rcnn`."""
