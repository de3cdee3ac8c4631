"""How many videos a second the reader of videos decodes, beside a plain loop of OpenCV's over the same files.

    python benchmarks/decode.py data/ucf101/UCF-101 --clips 40

Each round reads all clips at every --fps in turn, by rcnn.data.video.sample and by cv2.VideoCapture, which decodes and
converts every frame on one thread as the reader before PyAV did (and as OpenCV alone does, so without that reader's
second pass for headers).  The rounds alternate; the median of the rounds' ratios counts, of processor time too, which
depends less on what else the machine does.  The aim is a ratio of at least 0.95.
"""

import statistics
import time
from pathlib import Path

import cv2

from rcnn import command
from rcnn.data import video
from rcnn.files import InputError

AIM = 0.95


def opencv(path, fps):
    """Decode a video by OpenCV alone; return how many frames it has."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = 0
    while capture.grab():
        _, image = capture.retrieve()
        count += image is not None
    return count


def ours(path, fps):
    """Decode a video by the package's reader; return how many frames it gives."""
    return sum(1 for _ in video.sample(path, fps))


def spent(read, paths, fps):
    """Return the seconds, of the clock and of the processor, in which `read` reads all paths."""
    began, used = time.perf_counter(), time.process_time()
    for path in paths:
        read(path, fps)
    return time.perf_counter() - began, time.process_time() - used


def main():
    parser = command.parser(__doc__)
    parser.add_argument("videos", type=Path, help="folder of videos, at any depth")
    parser.add_argument("--clips", type=command.positive, default=40, help="how many to read, spread over the folder")
    parser.add_argument("--fps", type=command.positive_real, nargs="+", default=[5.0, 25.0], help="frames a second")
    parser.add_argument("--rounds", type=command.positive, default=7, help="rounds; the median counts")
    args = parser.parse_args()
    paths = sorted(path for path in args.videos.rglob("*.*") if path.is_file())
    if not paths:
        raise InputError(f"no videos in {args.videos}; name the folder that holds them")
    paths = paths[:: max(1, len(paths) // args.clips)][: args.clips]
    for fps in args.fps:
        rounds = [(spent(opencv, paths, fps), spent(ours, paths, fps)) for _ in range(args.rounds)]
        for place, clock in enumerate(("clock", "processor")):
            theirs, own = (statistics.median(len(paths) / pair[kind][place] for pair in rounds) for kind in (0, 1))
            ratio = statistics.median(pair[0][place] / pair[1][place] for pair in rounds)
            print(
                f"{len(paths)} clips at {fps:g} fps, {clock}: {own:.1f} videos a second, OpenCV {theirs:.1f}; ratio "
                f"{ratio:.2f} (aim: at least {AIM}, {'met' if ratio >= AIM else 'not met'})",
                flush=True,
            )


if __name__ == "__main__":
    command.run(main)
