"""How long the full-size nets take a frame in Caffe, PyTorch, ONNX Runtime and OpenCV's dnn, on a CPU, in one run.

    python benchmarks/backends.py                       # pair and recurrent net, batch 1, one thread
    python benchmarks/backends.py --width 0.25 --size 64 --batch 4 --threads 2

Every backend runs the same weights (drawn from a seed) on the same frames with the same number of threads, in
alternating rounds; its scores are held against Caffe's first.  Printed are the milliseconds of a pass for each row of
the batch (median, least, most) and the ratio to Caffe's, the median over rounds.  A backend that is not installed, or
does not load a net, is named with what it said.  The fastest is what `classify_video.py --backend auto` takes of those
that need no Caffe (rcnn/nets/backends.py).

OpenCV reads the graph that ONNX Runtime runs, with the batch written into it.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from rcnn import command
from rcnn.googlenet import PREVIOUS, SIGNALS
from rcnn.nets import caffemodel, compare
from rcnn.nets import weight_files as files
from rcnn.nets.model import NetModel
from rcnn.nets.network import ModelNetwork

KINDS = ("pair", "recurrent")


class InOpenCV(ModelNetwork):
    """A net of one kind run by OpenCV's dnn."""

    def __init__(self, kind, net, model):
        super().__init__(kind, model)
        self._net = net

    def _run(self, inputs):
        for name, values in inputs.items():
            self._net.setInput(values, name)
        names = [*self.signals, *(PREVIOUS + signal for signal in self.signals if self.kind == "pair"), *self._state]
        return {name: values.copy() for name, values in zip(names, self._net.forward(names))}


def in_caffe(kind, arrays, model, folder, args):
    from rcnn.nets.caffe_net import of_model

    return of_model(kind, model, folder / "net.caffemodel")


def in_torch(kind, arrays, model, folder, args):
    files.need("torch")
    from rcnn.nets.torch_net import TorchNetwork

    return TorchNetwork(kind, arrays, model, threads=args.threads)


def in_onnx_runtime(kind, arrays, model, folder, args):
    files.need("onnx", "onnxruntime")
    from rcnn.nets.onnx_net import OnnxNetwork, build

    return OnnxNetwork(build(kind, arrays, model), threads=args.threads)


def in_opencv(kind, arrays, model, folder, args):
    cv2.setNumThreads(args.threads)
    files.need("onnx")
    from rcnn.nets.onnx_net import build

    made = build(kind, arrays, model)
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = args.batch
    return InOpenCV(kind, cv2.dnn.readNetFromONNX(np.frombuffer(made.SerializeToString(), np.uint8)), model)


BACKENDS = {"Caffe": in_caffe, "PyTorch": in_torch, "ONNX Runtime": in_onnx_runtime, "OpenCV dnn": in_opencv}


def scores(made, frames, step):
    """Return the probabilities of a pass, 3 x N x classes; the rows of a recurrent net begin a video at step 0."""
    first = np.full(frames.shape[1], step == 0, np.float32)
    outputs = made.outputs(frames[step], frames[step - 1], first)
    return np.stack([np.array(outputs[signal]) for signal in SIGNALS])


def loaded(kind, arrays, model, folder, args, frames):
    """Return {backend: network} of those that load a net and give Caffe's scores; print what the others say."""
    made, expected = {}, None
    for name, load in BACKENDS.items():
        try:
            candidate = load(kind, arrays, model, folder, args)
            scored = np.array([scores(candidate, frames, step) for step in range(len(frames))])
        except (command.InputError, cv2.error, ModuleNotFoundError) as error:
            print(f"  {name:13} does not run it: {' '.join(str(error).split())[:160]}")
            continue
        expected = scored if expected is None else expected
        apart = float(np.abs(scored - expected).max())
        if not apart < 1e-4:
            print(f"  {name:13} gives other scores, {apart:.1e} apart; left out")
            continue
        made[name] = candidate
    return made


def print_kind(kind, args):
    model = NetModel(width=args.width, size=args.size)
    arrays, frames = compare.random_arrays(model), compare.random_frames(model, 3, args.batch)
    print(
        f"{kind} net, width {args.width:g}, {args.size} x {args.size}, batch {args.batch}, {args.threads} thread(s), "
        f"ms a row (median of {args.rounds} rounds, least, most), and over Caffe:"
    )
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        caffemodel.write(folder / "net.caffemodel", arrays, model)
        made = loaded(kind, arrays, model, folder, args, frames)
    rounds = []
    for _ in tqdm(range(args.rounds), desc=kind, unit="round", leave=False):
        spent = {}
        for name, each in made.items():
            began = time.perf_counter()
            scores(each, frames, 2)
            spent[name] = 1000 * (time.perf_counter() - began) / args.batch
        rounds.append(spent)
    reference = next(iter(made))
    for name in made:
        values = [spent[name] for spent in rounds]
        ratio = statistics.median(spent[name] / spent[reference] for spent in rounds)
        print(
            f"  {name:13}{statistics.median(values):9.1f}{min(values):9.1f}{max(values):9.1f}   {ratio:.2f}", flush=True
        )


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--batch", type=command.positive, default=1, help="rows a pass")
    parser.add_argument("--threads", type=command.positive, default=1, help="threads of each backend")
    parser.add_argument("--width", type=command.positive_real, default=1.0, help="of the nets, 1 is GoogLeNet's")
    parser.add_argument("--size", type=command.positive, default=224, help="side of the frames, pixels")
    parser.add_argument("--rounds", type=command.positive, default=7, help="rounds; the median counts")
    args = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)  # Caffe's matrix products; read when it is imported
    for kind in KINDS:
        print_kind(kind, args)


if __name__ == "__main__":
    command.run(main)
