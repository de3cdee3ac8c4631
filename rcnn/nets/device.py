"""Which processor Caffe computes on."""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, Optional

from rcnn.files import InputError

# One line an obstacle, in the words of `_refusal`; Caffe itself would end the program.
_TRY = """
import sys, caffe
gpus = [int(word) for word in sys.argv[1].split(",")]
for gpu in gpus:
    caffe.set_device(gpu)
caffe.set_mode_gpu()
sys.exit(3 if len(gpus) > 1 and not caffe.has_nccl() else 0)
"""


def numbers(text: str) -> tuple[int, ...]:
    """Return one GPU or several, counted from 0, of a text such as "0" or "0,1"; an argparse type."""
    try:
        gpus = tuple(int(word) for word in text.split(","))
    except ValueError:
        gpus = ()
    if not gpus or min(gpus) < 0 or len(set(gpus)) < len(gpus):
        raise argparse.ArgumentTypeError(f"{text} names no GPUs; write their numbers, such as 0 or 0,1")
    return gpus


def use(gpu: Optional[int] = None) -> None:
    """Make Caffe compute on a GPU, counted from 0, or on the CPU (None).

    Raises InputError where Caffe was built without CUDA or cannot use that GPU; Caffe itself would end the program.
    """
    import caffe

    if gpu is None:
        caffe.set_mode_cpu()
        return
    check(gpu)
    caffe.set_device(gpu)
    caffe.set_mode_gpu()


def check(*gpus: int, option: str = "--gpu") -> None:
    """Raise InputError unless Caffe can use GPUs (their numbers, from 0), together; tried in a process of its own.

    option: what asked for them, for the error message.
    """
    if not gpus:
        return
    asked = ",".join(map(str, gpus))
    tried = subprocess.run([sys.executable, "-c", _TRY, asked], capture_output=True, text=True)
    if tried.returncode:
        raise InputError(f"{option} {asked}: {_refusal(tried)}")


def check_training(gpus: tuple[int, ...], nets: Iterable[tuple[str, Any]], option: str = "--gpu") -> None:
    """Raise InputError unless `caffe train` can train on GPUs (their numbers, from 0).

    On several GPUs Caffe runs no Python layer.

    Parameters
    ----------
    nets
        (path or name, NetParameter) of each net of the solver.
    """
    asked = ",".join(map(str, gpus))
    for name, net in nets if len(gpus) > 1 else ():
        for layer in net.layer:
            if layer.type == "Python":
                raise InputError(
                    f"{option} {asked}: layer {layer.name} of {name} is a Python layer, and with one "
                    "Caffe trains on one GPU only; name one, or make nets of raw pairs (--encoding raw)"
                )
    check(*gpus, option=option)


def _refusal(tried):
    if tried.returncode == 3:
        return "this Caffe was built without NCCL, which several GPUs need; run tools/install_caffe.sh --nccl"
    if "CPU-only" in tried.stderr:
        return (
            "this Caffe was built without CUDA; compute on the CPU, or build it with CUDA "
            "(tools/install_caffe.sh --cuda)"
        )
    lines = tried.stderr.splitlines()
    complaints = [line.split("] ", 1)[-1] for line in lines if "Check failed" in line or "rror" in line]
    return f"Caffe cannot use it ({complaints[0] if complaints else 'it says no more'}); nvidia-smi lists the GPUs"
