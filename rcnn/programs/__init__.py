"""The command-line programs, one a module: tools/NAME.py and `googlenet-rcnn NAME` run them."""
