"""GoogLeNet-RCNN: recurrent convolutional networks for video classification, in Caffe."""
