"""Prove that a built Caffe works: pycaffe, the caffe program, LMDB, JPEG decoding and a Python layer in one run.

    .venv/bin/python tools/caffe_build/prove.py .venv/bin/caffe CPU     (or GPU: the first one)

Run by tools/install_caffe.sh at its end, with the environment's Python.  Prints what caffe prints; exits with status
0 only if every step worked.  This file is also the module of the Python layer that the caffe program loads.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import caffe
import cv2
import lmdb
import numpy as np
from caffe import layers as L
from caffe import params as P

ITERATIONS = 20


class Halve(caffe.Layer):
    """bottom[0] times 0.5; refuses to run where Python is not the environment's or does not see `rcnn`."""

    def setup(self, bottom, top):
        import rcnn  # noqa: F401  imported here, as the program that writes the net need not see it

        if sys.prefix != os.environ["PROVE_PREFIX"]:
            raise RuntimeError(f"the caffe program's Python runs in {sys.prefix}, not in {os.environ['PROVE_PREFIX']}")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data / 2

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff / 2


def write_records(folder):
    """Write an LMDB of 16 JPEG images of 8 x 8, black (label 0) and white (label 1) in turn."""
    with lmdb.open(str(folder), map_size=1 << 20) as store, store.begin(write=True) as records:
        for index in range(16):
            image = np.full((8, 8, 3), 255 * (index % 2), np.uint8)
            jpeg = cv2.imencode(".jpg", image)[1].tobytes()
            datum = caffe.proto.caffe_pb2.Datum(encoded=True, data=jpeg, label=index % 2)
            records.put(f"{index:08d}".encode(), datum.SerializeToString())


def write_net(path, records):
    """Write a net that tells black from white: LMDB, the Python layer, one classifier.

    Its engine is Caffe's own: one built with cuDNN would else ask for a GPU even on the CPU.
    """
    net = caffe.NetSpec()
    net.data, net.label = L.Data(
        source=str(records), backend=P.Data.LMDB, batch_size=16, ntop=2, transform_param={"scale": 1 / 255}
    )
    net.half = L.Python(net.data, python_param={"module": "prove", "layer": "Halve"})
    net.score = L.InnerProduct(net.half, num_output=2, weight_filler={"type": "xavier"})
    net.loss = L.SoftmaxWithLoss(net.score, net.label, softmax_param={"engine": P.Softmax.CAFFE})
    path.write_text(f"force_backward: true\n{net.to_proto()}")


def main():
    """Train with the program that the command line names, on its processor, and run the net in pycaffe."""
    program, processor = str(Path(sys.argv[1]).absolute()), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_records(folder / "records")
        write_net(folder / "net.prototxt", folder / "records")
        (folder / "solver.prototxt").write_text(
            f'net: "{folder}/net.prototxt"\nbase_lr: 0.1\nlr_policy: "fixed"\ndisplay: 1\nmax_iter: {ITERATIONS}\n'
            f'snapshot_prefix: "{folder}/weights"\nsolver_mode: {processor}\n'
        )
        os.environ["PROVE_PREFIX"] = sys.prefix
        # the losses are read from its log, which the caller may have turned off or have written another way
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GLOG_")}
        environment["PYTHONPATH"] = str(Path(__file__).parent.absolute())
        result = subprocess.run(
            [program, "train", "-solver", str(folder / "solver.prototxt")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(result.stdout)
        losses = [float(number) for number in re.findall(r"Iteration \d+.*, loss = (\S+)", result.stdout)]
        if result.returncode or len(losses) < 2 or not losses[-1] < losses[0] / 2:
            sys.exit(f"caffe train ended with status {result.returncode} and losses {losses}")
        if processor == "GPU":
            caffe.set_mode_gpu()
        net = caffe.Net(
            str(folder / "net.prototxt"), caffe.TEST, weights=str(folder / f"weights_iter_{ITERATIONS}.caffemodel")
        )
        print("pycaffe: loss", net.forward()["loss"])


if __name__ == "__main__":
    main()
