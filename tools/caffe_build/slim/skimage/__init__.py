"""Stands in for scikit-image, which pycaffe imports, where install_caffe.sh --slim has left that out.

It lies last on the path, so that the real one goes before it where it is installed.
"""


def __getattr__(name):
    raise ImportError(f"{__name__}.{name} is not here; pip install scikit-image brings it")
