"""A pytest plugin that lets the tests compute on the first GPU what they would compute on the CPU.

    PYTHONPATH=tests python -m pytest -p on_gpu tests

Nets that run in pycaffe only; `caffe train` in a test goes by its solver.  Some tests hold a GPU to what only a CPU
gives, such as equality to the bit; such a failure is no fault.
"""

import caffe

caffe.set_device(0)
caffe.set_mode_gpu()
caffe.set_mode_cpu = caffe.set_mode_gpu
