"""What a GPU does with the nets: the CPU's numbers again, milliseconds a frame, and how far that is from the floor.

    python benchmarks/gpu.py outputs --save cpu.npz                  # on the CPU
    python benchmarks/gpu.py outputs --against cpu.npz --gpu 0       # the largest difference over a blob's magnitude
    python benchmarks/gpu.py speed --gpu 0 --torch python3           # that python3 has PyTorch

Outputs: every blob of the plain, pair and recurrent net over three steps of two rows, the weights drawn from a seed.
The aim is 1e-3 of each blob's scale.  A file serves Caffes built in other ways, such as with cuDNN.

Speed: milliseconds a frame, from float32 frames in the CPU's memory to probabilities there, of the pair net (frames
t-1 and t) and the recurrent one, at batch 1 and larger ones, median of rounds.  PyTorch (rcnn/nets/torch_net.py,
float32 without TF32, its state on the GPU) takes its turn after Caffe in each round, where --torch names a Python that
has it.  The paper's 12.5 ms were a K40c's.  The floor is the longer of two times: the multiply-adds at --tflops, and at
--gigabytes a second one reading of the parameters for each batch, one writing of each blob and one reading of it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rcnn import command
from rcnn.files import InputError
from rcnn.nets import caffemodel, compare
from rcnn.nets.model import NetModel, without_temporal

AIM, PAPER = 1e-3, 12.5
KINDS = ("frame", "pair", "recurrent")
WARMING = 3  # passes before those that count
BATCHES = [1, 2, 4, 8, 16, 32, 64]
PEAKS = {
    "H200": (66.9, 4800),
    "H100": (66.9, 3350),
    "A100": (19.5, 1555),
    "V100": (15.7, 900),
    "T4": (8.1, 320),
    "K40": (4.29, 288),
}  # float32 TFLOP/s and GB/s, from NVIDIA's data sheets


def parameters(model, kind):
    """Return (arrays, model) of the parameters of a net of a kind."""
    arrays = compare.random_arrays(model)
    return without_temporal(arrays, model) if kind == "frame" else (arrays, model)


def caffe_net(folder, model, kind, batch):
    """Write a deploy net of a kind and its weights to a folder; return their paths."""
    from rcnn.nets.caffe_net import DEPLOY_NETS

    paths = Path(folder) / f"{kind}_{batch}.prototxt", Path(folder) / f"{kind}.caffemodel"
    paths[0].write_text(str(DEPLOY_NETS[kind](model, batch)))
    caffemodel.write(paths[1], *parameters(model, kind))
    return paths


def blobs(model, kind, gpu):
    """Return {blob: [array of each step]} of a net that sees the frames of `compare.random_frames`."""
    from rcnn.nets.caffe_net import CaffeNetwork

    with tempfile.TemporaryDirectory() as folder:
        network = CaffeNetwork(*caffe_net(folder, model, kind, compare.ROWS), gpu)
        return compare.outputs(network, compare.random_frames(model), compare.marks(kind))


def outputs(args, model):
    """Save the blobs of the nets, or hold them against saved ones; return the exit status."""
    actual = {f"{kind}:{name}": steps for kind in KINDS for name, steps in blobs(model, kind, args.gpu).items()}
    if args.save:
        np.savez(args.save, **actual)
        print(f"{len(actual)} blobs of {len(KINDS)} nets: {args.save}")
        return 0
    with np.load(args.against) as file:
        expected = {name: list(file[name]) for name in file.files}
    if [(name, steps[0].shape) for name, steps in sorted(expected.items())] != [
        (name, steps[0].shape) for name, steps in sorted(actual.items())
    ]:
        raise InputError(f"--against: {args.against} is of nets of other blobs; make it with the same options")
    good = True
    for kind in KINDS:
        mine, theirs = (
            {name: steps for name, steps in side.items() if name.startswith(kind + ":")} for side in (actual, expected)
        )
        name, worst, scale = max(compare.differences(theirs, mine), key=lambda row: row[1])
        good &= worst <= AIM
        print(
            f"{kind}: {len(mine)} blobs, the largest difference is {worst:.2e} of its scale, in {name} (scale "
            f"{scale:.3g}; aim: {AIM:g}, {'met' if worst <= AIM else 'not met'})"
        )
    return 0 if good else 1


class Caffe:
    """Passes of a Caffe net; `frames` are of one batch."""

    def __init__(self, kind, model, batch, gpu):
        from rcnn.nets.caffe_net import CaffeNetwork

        with tempfile.TemporaryDirectory() as folder:
            self._network = CaffeNetwork(*caffe_net(folder, model, kind, batch), gpu)
        self._first = np.zeros(batch)

    def run(self, frames):
        self._network.forward(frames, frames, self._first)

    def work(self):
        """Return (multiply-adds, bytes of the parameters, bytes of the blobs) of a pass."""
        net = self._network._net
        own = {blob.data.ctypes.data: blob.count for parameters in net.params.values() for blob in parameters}
        adds = sum(
            parameters[0].count * np.prod(net.blobs[net.top_names[name][0]].shape[2:])
            for name, parameters in net.params.items()
        )
        rows = len(net.blobs["frame"].data)
        return float(adds * rows), 4 * sum(own.values()), 4 * sum(blob.count for blob in net.blobs.values())


class Torch:
    """Passes of the same net in PyTorch."""

    def __init__(self, kind, model, batch, gpu):
        import torch

        from rcnn.nets.torch_net import build

        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        self._torch, self._kind = torch, kind
        self._device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
        self._net = build(*parameters(model, kind)).to(self._device)
        self._state, self._first = None, torch.zeros(batch)

    def run(self, frames):
        with self._torch.inference_mode():
            tensor = self._torch.from_numpy(frames).to(self._device)
            if self._kind == "pair" or self._state is None:
                self._state = self._net(tensor)[1]
            scores, self._state = self._net(tensor, self._state, self._first.to(self._device))
            for values in scores.values():
                self._torch.softmax(values, 1).cpu()


def round_ms(made, frames, passes):
    """Return milliseconds a frame of `passes` passes."""
    began = time.perf_counter()
    for _ in range(passes):
        made.run(frames)
    return 1000 * (time.perf_counter() - began) / passes / len(frames)


def serve(args, model):
    """Time PyTorch for `speed`: for each line "kind batch passes" on standard input, print milliseconds a frame."""
    nets = {}
    for line in sys.stdin:
        kind, batch, passes = line.split()
        frames = compare.random_frames(model, 1, int(batch))[0]
        if (kind, batch) not in nets:
            nets.clear()
            nets[kind, batch] = Torch(kind, model, int(batch), args.gpu)
            round_ms(nets[kind, batch], frames, WARMING)
        print(round_ms(nets[kind, batch], frames, int(passes)), flush=True)
    return 0


def torch_server(args):
    """Start `serve` in the Python that has PyTorch."""
    options = ["--width", str(args.width), "--size", str(args.size)]
    options += [] if args.gpu is None else ["--gpu", str(args.gpu)]
    root = str(Path(__file__).resolve().parents[1])
    return subprocess.Popen(
        [args.torch, __file__, "serve", *options],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )


def ask(server, *words):
    try:
        print(*words, file=server.stdin, flush=True)
        answer = server.stdout.readline()
    except BrokenPipeError:
        answer = ""
    if not answer:
        raise InputError("--torch: that Python could not run the net (it says why above); leave the option out")
    return float(answer)


def floor_ms(made, batch, peaks):
    """Return (milliseconds a frame, "arithmetic" or "memory") below which a GPU of `peaks` cannot compute a net."""
    adds, weights, values = made.work()
    return max(
        (2 * adds / batch / peaks[0] / 1e9, "arithmetic"), ((weights + 2 * values) / batch / peaks[1] / 1e6, "memory")
    )


def speed(args, model):
    """Print the speeds of both nets at all batches, and the best of each."""
    server = torch_server(args) if args.torch else None
    peaks = (args.tflops, args.gigabytes) if args.tflops and args.gigabytes else peaks_of(args.gpu)
    rows = []
    for kind in KINDS[1:]:
        for batch in args.batch:
            frames = compare.random_frames(model, 1, batch)[0]
            made = Caffe(kind, model, batch, args.gpu)
            passes = max(1, round(args.seconds * 1000 / batch / round_ms(made, frames, WARMING)))
            rounds = []
            for _ in range(args.rounds):
                rounds.append(
                    (round_ms(made, frames, passes), ask(server, kind, batch, passes) if server else float("nan"))
                )
            caffe_ms, torch_ms = (statistics.median(values) for values in zip(*rounds))
            rows.append({"net": kind, "batch": batch, "caffe": caffe_ms, "torch": torch_ms if server else None})
            line = f"{kind:10} batch {batch:3}: Caffe {caffe_ms:8.3f} ms a frame"
            line += f", PyTorch {torch_ms:8.3f} ms, {caffe_ms / torch_ms:.2f} of it" if server else ""
            if peaks:
                rows[-1]["floor"], bound = floor_ms(made, batch, peaks)
                line += f", floor {rows[-1]['floor']:.3f} ms ({bound})"
            print(line, flush=True)
            del made
        best = min((row for row in rows if row["net"] == kind), key=lambda row: row["caffe"])
        print(f"{kind:10} best {best['caffe']:.3f} ms a frame at batch {best['batch']}; the paper's K40c took {PAPER}")
    if server:
        server.communicate()
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def peaks_of(gpu):
    """Return the peaks of a GPU that PEAKS knows, None for another and for the CPU."""
    if gpu is None:
        return None
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "-i", str(gpu)], capture_output=True, text=True
    )
    return next((peaks for name, peaks in PEAKS.items() if name in asked.stdout), None)


def main():
    parser = command.parser(__doc__)
    parser.add_argument("what", choices=("outputs", "speed", "serve"), help="what to measure; speed starts serve")
    parser.add_argument("--gpu", type=int, help="number of the GPU; the CPU if not given")
    parser.add_argument("--width", type=command.positive_real, default=1.0, help="of the nets, 1 is GoogLeNet's")
    parser.add_argument("--size", type=command.positive, default=224, help="side of the frames, pixels")
    parser.add_argument("--save", help="file for the blobs (.npz)")
    parser.add_argument("--against", help="file of blobs to hold these against")
    parser.add_argument("--batch", type=command.positive, nargs="+", default=BATCHES, help="frames a pass")
    parser.add_argument("--rounds", type=command.positive, default=5, help="rounds; the median counts")
    parser.add_argument("--seconds", type=command.positive_real, default=1.0, help="of Caffe's share of a round")
    parser.add_argument("--torch", help="a Python that has PyTorch")
    parser.add_argument("--tflops", type=command.positive_real, help="the GPU's peak in float32")
    parser.add_argument("--gigabytes", type=command.positive_real, help="a second, the bandwidth of the GPU's memory")
    parser.add_argument("--json", help="file for the speeds")
    args = parser.parse_args()
    if args.what == "outputs" and bool(args.save) == bool(args.against):
        raise InputError("outputs: give one of --save and --against")
    model = NetModel(width=args.width, size=args.size)
    return {"outputs": outputs, "speed": speed, "serve": serve}[args.what](args, model)


if __name__ == "__main__":
    command.run(main)
