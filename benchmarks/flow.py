"""How good and how fast optical flow is, and how fast tools/build_frames.py --flow builds by 1 and by 2 workers.

    python benchmarks/flow.py                                    # all of it
    python benchmarks/flow.py --only methods
    python benchmarks/flow.py --pair frame10.png frame11.png --true flow10.flo --write flows

Methods: the end-point error in pixels, away from borders, of every method that this machine has, on synthetic pairs
of 320 x 240 whose flow is known, and the milliseconds a frame takes it on one thread, the median over all pairs, which
the methods take turns on.

Build: frames a second of --method on videos of the motion set, 320 x 240, by the whole program's time; rounds of 1 and
of 2 workers take turns, and the ratio is that of their medians.  The aim is 1.7 on 2 cores.  With it, what 8 bits and
JPEG of quality 95 cost: the distance of the flow in the records from that which was computed.

--pair is two images of one's own, such as Middlebury's; --true their flow, to compare with, and --write a folder for
each method's, as .flo files.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from rcnn import command
from rcnn.data import flow, flow_frames, records, video
from rcnn.data.synthetic import motion
from rcnn.data.synthetic.flow_pairs import KINDS, pair
from rcnn.files import InputError, existing, replacing

HEIGHT, WIDTH, BORDER = 240, 320, 20
MOTIONS = (1, 2.5, 5, 10, 15)  # pixels
AIM, SIDE, FPS, SECONDS = 1.7, 256, 5, 3
TOOL = Path(__file__).resolve().parent.parent / "tools" / "build_frames.py"


def timed(method, previous, frame):
    """Return (flow, milliseconds)."""
    began = time.perf_counter()
    motion = flow.compute(method, previous, frame)
    return motion, 1000 * (time.perf_counter() - began)


def print_methods():
    """Print error and time of every method on synthetic pairs."""
    cv2.setNumThreads(1)
    methods = flow.available()
    times = {method: [] for method in methods}
    print(f"end-point error in pixels, {WIDTH} x {HEIGHT}, {BORDER} pixels of border left out")
    print(f"{'motion':>16}" + "".join(f"{method:>12}" for method in methods))
    for kind in KINDS:
        for pixels in MOTIONS:
            previous, frame, true = pair(kind, pixels, HEIGHT, WIDTH)
            errors = []
            for method in methods:
                estimate, milliseconds = timed(method, previous, frame)
                times[method].append(milliseconds)
                errors.append(flow.end_point_error(estimate, true, BORDER))
            print(f"{kind:>9} {pixels:>3g} px" + "".join(f"{error:>12.4f}" for error in errors), flush=True)
    print(f"{'ms a frame':>16}" + "".join(f"{statistics.median(times[method]):>12.0f}" for method in methods))


def print_pair(args):
    """Print error and time of every method on two images, and write the flows."""
    images = []
    for path in args.pair:
        images.append(cv2.imread(str(existing(path, "pair")), cv2.IMREAD_COLOR))
        if images[-1] is None:
            raise InputError(f"pair: {path} is not an image")
    true = cv2.readOpticalFlow(str(existing(args.true, "true"))) if args.true else None
    if args.true and true is None:
        raise InputError(f"true: {args.true} is damaged or not a .flo file")
    if true is not None and true.shape[:2] != images[0].shape[:2]:
        raise InputError(
            f"true: {args.true} is of {true.shape[1]} x {true.shape[0]} pixels, the images are of "
            f"{images[0].shape[1]} x {images[0].shape[0]}"
        )
    for method in flow.available():
        estimate, milliseconds = timed(method, *images)
        error = "" if true is None else f", end-point error {flow.end_point_error(estimate, true):.3f} pixels"
        print(f"{method}: {milliseconds:.0f} ms{error}")
        if args.write:
            with replacing(Path(args.write) / f"{method}.flo") as part:
                cv2.writeOpticalFlow(str(part), estimate)


def make_videos(folder, number):
    """Write videos of the motion set with their lists; return the arguments of a build."""
    names = []
    for index in range(number):
        appearance, movement = (kinds[index % len(kinds)] for kinds in (motion.APPEARANCES, motion.MOVEMENTS))
        names.append(f"Motion/v_Motion_g{index:02d}_c01.avi")
        path = folder / "videos" / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"XVID"), 25, (WIDTH, HEIGHT))
        for frame in motion.frames(appearance, movement, SECONDS, np.random.default_rng(index)):
            writer.write(frame)
        writer.release()
    (folder / "classes.txt").write_text("1 Motion\n")
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return [
        "--videos",
        folder / "videos",
        "--classes",
        folder / "classes.txt",
        "--list",
        folder / "list.txt",
        "--fps",
        FPS,
        "--size",
        SIDE,
    ]


def frames_a_second(words, out, workers):
    """Build an LMDB anew; return frames a second."""
    words = [sys.executable, TOOL, *words, "--out", out, "--workers", workers, "--force"]
    if out.exists():
        (out / records.MANIFEST).unlink()
        (out / "data.mdb").unlink()
        out.rmdir()
    began = time.perf_counter()
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"build_frames.py failed: {done.stderr.splitlines()[-1]}")
    return records.read_manifest(out)["counts"]["frames"] / (time.perf_counter() - began)


def print_build(args):
    """Print frames a second by workers, their ratio, and what storing costs."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        words = [*make_videos(folder, args.videos), "--flow", args.method]
        speeds = {1: [], 2: []}
        for number in range(args.rounds):
            for workers in speeds:
                speeds[workers].append(frames_a_second(words, folder / "flow.lmdb", workers))
            print(
                f"  round {number + 1}: "
                + ", ".join(f"{workers} workers {rates[-1]:.2f} frames/s" for workers, rates in speeds.items()),
                flush=True,
            )
        medians = {workers: statistics.median(rates) for workers, rates in speeds.items()}
        ratio = medians[2] / medians[1]
        print(
            f"build_frames.py --flow {args.method}, {WIDTH} x {HEIGHT}: {medians[1]:.2f} frames/s by 1 worker, "
            f"{medians[2]:.2f} by 2, {ratio:.2f} times (aim: {AIM}, {'met' if ratio >= AIM else 'not met'})"
        )
        print_loss(folder, args.method)


def print_loss(folder, method):
    """Print how far the first video's stored flow is from what was computed."""
    name = next((folder / "videos/Motion").iterdir()).stem
    with records.open_records(folder / "flow.lmdb", "frames") as frames:
        stored = [frames.frame(name, index)[0] for index in range(FPS * SECONDS)]
    images = list(video.sample(folder / f"videos/Motion/{name}.avi"))
    computed = [
        flow_frames.resize(flow.compute(method, images[index][1], images[index + 1][1]), SIDE)
        for index in range(0, 25 * SECONDS - 1, 25 // FPS)
    ][: len(stored)]
    eight = [flow.end_point_error(flow.dequantise(flow.quantise(one)), one) for one in computed]
    both = [flow.end_point_error(flow.dequantise(two), one) for one, two in zip(computed, stored)]
    print(
        f"mean distance of stored flow from computed: {statistics.mean(both):.3f} pixels, "
        f"{statistics.mean(eight):.3f} of them by 8 bits, the rest by JPEG"
    )


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--only", choices=("methods", "build"), help="one of the two parts")
    parser.add_argument("--method", choices=flow.METHODS, default="brox", help="the method to build with")
    parser.add_argument("--videos", type=command.positive, default=8, help="how many of them to build from")
    parser.add_argument("--rounds", type=command.positive, default=3, help="builds by each number of workers")
    parser.add_argument("--pair", nargs=2, metavar=("PREVIOUS", "FRAME"), help="two images to compute flow between")
    parser.add_argument("--true", help=".flo file with the flow of --pair")
    parser.add_argument("--write", help="folder for each method's flow of --pair")
    args = parser.parse_args()
    if args.pair:
        print_pair(args)
        return
    if args.true or args.write:
        raise InputError("--true and --write go with --pair")
    if args.only != "build":
        print_methods()
    if args.only != "methods":
        print_build(args)


if __name__ == "__main__":
    command.run(main)
