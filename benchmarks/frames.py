"""How long the online net takes a frame, what its state layers cost of it, and how classify_video.py's memory grows.

    python benchmarks/frames.py                            # all of it, several minutes on a CPU
    python benchmarks/frames.py --width 0.25 --size 64 --batch 1
    python benchmarks/frames.py --seconds 0 --gpu 0        # without the memory

Time: milliseconds of a forward pass for each row of the batch, of the online net (deploy_rcnn_s, its state not empty),
the pair net (deploy_rcnn_r: frames t-1 and t, six outputs) and the plain CNN (deploy_cnn), in alternating rounds of one
run, weights at random.  In further passes of the online net each of its layers is timed; those that a net without a
state would not need are RecallState and KeepState, and the Scale and Power layers that leave the rows of a video's
first frame unhalved.  The aim is at most 10 % of a pass on a CPU; a GPU computes on after a layer's call has returned,
so there layers are not timed.

Memory: tools/classify_video.py, with --annotated and --plot, runs as a program over a video (320 x 240, 25 frames a
second) of --seconds with a net of an eighth of the width on 64 x 64, 5 frames a second; what is resident is read at
each line that it prints.  It should stay what it is after the first 5 seconds of video.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from rcnn import command
from rcnn.data.synthetic import motion
from rcnn.files import InputError

AIM = 0.1
OWN = ("RecallState", "KeepState", "Scale", "Power")  # layers that only the online net has
FPS, SETTLED = 5, 5.0  # frames a second that are classified; seconds of video after which memory is to be flat
TOOL = Path(__file__).resolve().parents[1] / "tools" / "classify_video.py"


def load(caffe, message):
    """Return a caffe.Net in test phase of a NetParameter."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(str(message))
        file.flush()
        return caffe.Net(file.name, caffe.TEST)


def fill(net, generator):
    """Give a net's inputs values: frames at random, no row the first of a video."""
    for name in net.inputs:
        blob = net.blobs[name]
        blob.data[...] = 0 if name == "first" else generator.normal(0, 50, blob.data.shape)


def forward_ms(net):
    """Return the milliseconds of one forward pass, for each row of the batch."""
    began = time.perf_counter()
    net.forward()
    float(net.blobs["high"].data.flat[0])  # waits for a GPU
    return 1000 * (time.perf_counter() - began) / len(net.blobs["frame"].data)


def layer_ms(net, message):
    """Return {kind: milliseconds} of one forward pass of the online net, for each row of the batch.

    The kinds are those of OWN and "rest".
    """
    kinds = {layer.name: layer.python_param.layer or layer.type for layer in message.layer}
    spent = dict.fromkeys((*OWN, "rest"), 0.0)
    for index, name in enumerate(net._layer_names):
        began = time.perf_counter()
        net._forward(index, index)
        kind = kinds.get(name)  # Caffe adds layers of its own, which split a blob
        spent[kind if kind in OWN else "rest"] += 1000 * (time.perf_counter() - began)
    return {kind: value / len(net.blobs["frame"].data) for kind, value in spent.items()}


def print_time(args, batch):
    """Print the milliseconds a frame of the three nets at a batch, and the share of the online net's state layers."""
    import caffe

    from rcnn.nets import prototxt as net

    model = net.Model(width=args.width, size=args.size)
    online = net.deploy_rcnn_s(model, batch)
    nets = {
        "online net": load(caffe, online),
        "pair net": load(caffe, net.deploy_rcnn_r(model, batch)),
        "plain CNN": load(caffe, net.deploy_cnn(model, batch)),
    }
    generator = np.random.default_rng(1)
    for made in nets.values():
        fill(made, generator)
        forward_ms(made)
    rounds, layers = [], []
    for _ in tqdm(range(args.rounds), desc=f"batch {batch}", unit="round", leave=False):
        rounds.append({name: forward_ms(made) for name, made in nets.items()})
        if args.gpu is None:
            layers.append(layer_ms(nets["online net"], online))
    print(
        f"batch {batch}, width {args.width:g}, {args.size} x {args.size}, ms a frame (median of {args.rounds} "
        "rounds, least, most):"
    )
    for name in nets:
        values = [spent[name] for spent in rounds]
        ratio = statistics.median(spent["online net"] / spent[name] for spent in rounds)
        print(
            f"  {name:12}{statistics.median(values):9.2f}{min(values):9.2f}{max(values):9.2f}"
            + (f"   the online net takes {ratio:.2f} times as long" if name != "online net" else "")
        )
    if not layers:
        return
    own = {kind: statistics.median(spent[kind] for spent in layers) for kind in OWN}
    share = statistics.median(1 - spent["rest"] / sum(spent.values()) for spent in layers)
    print(
        "  of the online net: "
        + ", ".join(f"{kind} {value:.2f} ms" for kind, value in own.items())
        + f"; {100 * share:.1f} % of a pass (aim: at most {100 * AIM:.0f} %, {'met' if share <= AIM else 'not met'})",
        flush=True,
    )


def make_video(path, seconds):
    """Write a video of the motion set: frames of one second, over and over."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"XVID"), motion.FPS, (motion.WIDTH, motion.HEIGHT))
    frames = list(motion.frames("Flowers", "Up", 1, np.random.default_rng(1)))
    for frame in islice(cycle(frames), round(seconds * motion.FPS)):
        writer.write(frame)
    writer.release()


def resident(process):
    """Return the resident memory of a process in MB (10^6 bytes), None once it has ended."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(match[1]) * 1024 / 1e6 if match else None


def measured_memory(arguments):
    """Run classify_video.py; return [(seconds of video, resident MB), ...], an entry a frame."""
    process = subprocess.Popen(
        [sys.executable, TOOL, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    measured = []
    with process:
        for line in process.stdout:
            match = re.match(r" *([\d.]+) s ", line)
            if match:
                measured.append((float(match[1]), resident(process)))
    if process.returncode:
        raise command.InputError(f"{' '.join(map(str, process.args))} ended with status {process.returncode}")
    return [(at, memory) for at, memory in measured if memory]


def print_memory(args):
    """Print what classify_video.py holds while it runs."""
    import caffe

    from rcnn.nets import prototxt as net

    model = net.Model(classes=12, width=0.125, size=64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "net.prototxt").write_text(str(net.deploy_rcnn_s(model)))
        caffe.Net(str(path / "net.prototxt"), caffe.TEST).save(str(path / "net.caffemodel"))
        (path / "classes.txt").write_text("".join(f"{number} Class{number}\n" for number in range(1, 13)))
        make_video(path / "video.avi", args.seconds)
        measured = measured_memory(
            [
                path / "video.avi",
                "--net",
                path / "net.prototxt",
                "--weights",
                path / "net.caffemodel",
                "--classes",
                path / "classes.txt",
                "--fps",
                str(FPS),
                "--annotated",
                path / "annotated.mp4",
                "--plot",
                path / "plot.png",
            ]
        )
    after = [memory for at, memory in measured if at >= SETTLED]
    print(
        f"classify_video.py, {args.seconds:g} s of video, {len(measured)} frames: {after[0]:.1f} MB resident after "
        f"{SETTLED:g} s, {after[-1]:.1f} MB at the end, at most {max(after) - after[0]:.1f} MB more and "
        f"{after[0] - min(after):.1f} MB less in between"
    )


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--batch", type=command.positive, nargs="+", default=[1, 8], help="frames a pass")
    parser.add_argument("--width", type=command.positive_real, default=1.0, help="of the nets, 1 is GoogLeNet's")
    parser.add_argument("--size", type=command.positive, default=224, help="side of the frames, pixels")
    parser.add_argument("--rounds", type=command.positive, default=7, help="rounds; the median counts")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the video for the memory; 0 leaves it out")
    parser.add_argument("--gpu", type=int, help="GPU to time the nets on; CPU if not given")
    args = parser.parse_args()
    if args.seconds and not args.seconds > SETTLED:
        raise InputError(f"--seconds {args.seconds:g}: memory is looked at after {SETTLED:g} seconds; give more, or 0")
    os.environ.setdefault("GLOG_minloglevel", "2")  # else Caffe prints the whole net; it reads this when imported
    from rcnn.nets import device

    device.use(args.gpu)
    for batch in args.batch:
        print_time(args, batch)
    if args.seconds > 0:
        device.use(None)
        print_memory(args)


if __name__ == "__main__":
    command.run(main)
