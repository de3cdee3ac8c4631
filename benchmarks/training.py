"""How fast PyTorch trains the pair net beside Caffe: pairs a second of stage 2, full width, in one run on one CPU.

    python benchmarks/training.py                               # 112 and 224 pixels, batches of 32 pairs
    python benchmarks/training.py --sizes 112 --rounds 9

Caffe, PyTorch in float32 and PyTorch in bfloat16 make the same updates on the same JPEG pairs, each in a process and
with the number of threads at which it is fastest.  Which that is, is tried first; then they take turns, and the ratio
to Caffe is the median over rounds.  The aims are 1.3 in float32, and 3.5 in bfloat16 on a processor that has it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from rcnn import command, recipe
from rcnn.data import builds, records, workers
from rcnn.nets import caffemodel, compare
from rcnn.nets.model import NetModel
from rcnn.recipe import Recipe

CONTENDERS = ("caffe", "float32", "bfloat16")
CLASSES = 16


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument(
        "--sizes", type=command.positive, nargs="+", default=[112, 224], help="sides of the input, pixels"
    )
    parser.add_argument("--batch", type=command.positive, default=32, help="pairs an update")
    parser.add_argument("--rounds", type=command.positive, default=7, help="rounds; the median counts")
    parser.add_argument("--updates", type=command.positive, default=1, help="updates a turn")
    parser.add_argument(
        "--runs", nargs=2, metavar=("NAME", "FOLDER"), help="be one of the three, for the program itself"
    )
    args = parser.parse_args()
    if args.runs:
        serve(*args.runs)
        return
    print(f"{processor()}, {workers.cores()} core(s)")
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            compare_at(size, Path(folder), args)


def processor() -> str:
    """Return the processor's name, and what of 16-bit arithmetic it has."""
    lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    facts = {name.strip(): value.strip() for name, value in lines}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name', 'unknown processor')} ({' '.join(flags)})"


def settings(size: int, batch: int, precision: str = "float32") -> Recipe:
    """Return the recipe of a run."""
    return recipe.parse(
        {"classes": CLASSES, "size": size, "batch": batch, "precision": precision, "seed": 1, "rate": 1e-4}
    )


def compare_at(size, folder, args):
    """Print the table of one size."""
    make_pairs(folder / "pairs.lmdb", size + size // 7, args.batch)
    model = NetModel(classes=CLASSES, size=size)
    caffemodel.write(folder / "start.caffemodel", compare.random_arrays(model), model)
    (folder / "settings").write_text(f"{size} {args.batch}")
    chosen = {}
    for name in tqdm(CONTENDERS, desc=f"{size} pixels, threads", leave=False):
        spent = {}
        for threads in range(1, workers.cores() + 1):
            with Runner(name, folder, threads) as runner:
                spent[threads] = min(runner.seconds(args.updates) for _ in range(2))
        chosen[name] = min(spent, key=spent.get)
    runners = {name: Runner(name, folder, threads) for name, threads in chosen.items()}
    rounds = []
    for _ in tqdm(range(args.rounds), desc=f"{size} pixels", unit="round", leave=False):
        rounds.append({name: runner.seconds(args.updates) for name, runner in runners.items()})
    for runner in runners.values():
        runner.close()
    print(
        f"{size} x {size}, batch {args.batch}: pairs a second (median of {args.rounds} rounds, least, most), over Caffe"
    )
    for name, threads in chosen.items():
        rates = [args.batch * args.updates / spent[name] for spent in rounds]
        ratio = statistics.median(spent["caffe"] / spent[name] for spent in rounds)
        print(
            f"  {name:9}{threads:2} thread(s){statistics.median(rates):8.2f}{min(rates):8.2f}{max(rates):8.2f}   "
            f"{ratio:.2f}",
            flush=True,
        )


def make_pairs(path, side, number):
    """Write a pairs LMDB of blurred noise."""
    random = np.random.default_rng(1)
    with builds.Build(path, "pairs", {"encoding": "jpeg"}, print) as build:
        for index in range(number):
            images = random.integers(0, 256, (2, side, side, 3), np.uint8)
            pair = [cv2.GaussianBlur(image, (0, 0), 3) for image in images]
            build.put([(records.pair_key(index, f"v{index}", 1), records.encode_pair(*pair, index % CLASSES))])
        build.finish(counts={"pairs": number})


class Runner:
    """A process that makes updates when it is asked to; a context manager."""

    def __init__(self, name: str, folder: Path, threads: int):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--runs", name, folder],
            env={**os.environ, **{key: str(threads) for key in names}, "GLOG_minloglevel": "2"},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.seconds(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._process.communicate()

    def seconds(self, updates: int) -> float:
        """Return how long a number of updates took."""
        self._process.stdin.write(f"{updates}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a run of the benchmark ended; its message is above")
        return float(line)


def serve(name, folder):
    """Make as many updates as each line of the standard input says, and answer with the seconds."""
    size, batch = map(int, (Path(folder) / "settings").read_text().split())
    folder = Path(folder)
    step = (in_caffe if name == "caffe" else in_torch)(
        folder, settings(size, batch, "float32" if name == "caffe" else name)
    )
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - began, flush=True)


def in_caffe(folder, chosen):
    import caffe
    from caffe.proto import caffe_pb2

    from rcnn.nets import prototxt

    net = prototxt.rcnn_r(chosen, folder / "pairs.lmdb", caffe.TRAIN)
    solver = caffe_pb2.SolverParameter(
        train_net_param=net,
        base_lr=chosen.solver.rate,
        lr_policy="fixed",
        momentum=chosen.solver.momentum,
        weight_decay=chosen.solver.weight_decay,
        snapshot_after_train=False,
        random_seed=1,
    )
    path = folder / "solver.prototxt"
    path.write_text(str(solver))
    made = caffe.get_solver(str(path))
    made.net.copy_from(str(folder / "start.caffemodel"))
    return lambda: made.step(1)


def in_torch(folder, chosen):
    import torch

    from rcnn.nets import torch_net, weight_files
    from rcnn.training.torch_batches import Pairs
    from rcnn.training.torch_solver import Solver, step

    torch.set_flush_denormal(True)
    arrays, model = weight_files.read(folder / "start.caffemodel", size=chosen.model.size)
    net = torch_net.build(arrays, model)
    solver, batches = Solver(net, chosen), Pairs(folder / "pairs.lmdb", chosen).batches(0)
    return lambda: step(net, solver, batches)


if __name__ == "__main__":
    command.run(main)
