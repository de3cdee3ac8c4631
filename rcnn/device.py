"""Which processor Caffe computes on."""
import subprocess
import sys

import caffe

from rcnn.files import InputError

_TRY = "import sys, caffe; caffe.set_device(int(sys.argv[1])); caffe.set_mode_gpu()"


def use(gpu=None):
    """Make Caffe compute on a GPU, counted from 0, or on the CPU (None).

    Raises InputError where Caffe was built without CUDA or cannot use that GPU; Caffe itself would end the program.
    """
    if gpu is None:
        caffe.set_mode_cpu()
        return
    check(gpu)
    caffe.set_device(gpu)
    caffe.set_mode_gpu()


def check(gpu):
    """Raise InputError unless Caffe can use a GPU (its number, from 0); tried in a process of its own."""
    tried = subprocess.run([sys.executable, "-c", _TRY, str(gpu)], capture_output=True, text=True)
    if tried.returncode == 0:
        return
    if "CPU-only" in tried.stderr:
        raise InputError(f"--gpu {gpu}: this Caffe was built without CUDA; leave the option out, or build Caffe with "
                         "CUDA")
    said = [line.split("] ", 1)[-1] for line in tried.stderr.splitlines() if "Check failed" in line or "rror" in line]
    raise InputError(f"--gpu {gpu}: Caffe cannot use it ({said[0] if said else 'it says no more'}); nvidia-smi lists "
                     "the GPUs")
