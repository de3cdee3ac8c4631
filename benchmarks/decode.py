"""How many videos a second the reader of videos decodes, beside the reader of OpenCV that it replaced.

    python benchmarks/decode.py data/ucf101/UCF-101 --clips 40

Each round reads all clips at every --fps in turn, by rcnn.data.video.sample and by what read them before PyAV: a pass
of cv2.VideoCapture over the packets, for headers, then one that decodes and converts every frame on one thread (`plain`
is the second pass alone).  The rounds alternate; the median of the rounds' ratios counts, of processor time too, which
depends less on what else the machine does.  The aim is a ratio of at least 0.95 over the reader before.
"""

import statistics
import time
from pathlib import Path

import cv2

from rcnn import command
from rcnn.data import video
from rcnn.files import InputError

AIM = 0.95


def plain(path, fps):
    """Decode a video by OpenCV alone; return how many frames it has."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = 0
    while capture.grab():
        _, image = capture.retrieve()
        count += image is not None
    return count


def before(path, fps):
    """Decode a video as the reader before PyAV did; return how many frames it has."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    capture.set(cv2.CAP_PROP_FORMAT, -1)
    while capture.grab():
        capture.retrieve()
    return plain(path, fps)


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
        rounds = [[spent(read, paths, fps) for read in (ours, before, plain)] for _ in range(args.rounds)]
        for place, clock in enumerate(("clock", "processor")):
            rate = statistics.median(len(paths) / own[place] for own, *_ in rounds)
            over, alone = (statistics.median(each[k][place] / each[0][place] for each in rounds) for k in (1, 2))
            print(
                f"{len(paths)} clips at {fps:g} fps, {clock}: {rate:.1f} videos a second; over the reader before "
                f"{over:.2f} (aim: at least {AIM}, {'met' if over >= AIM else 'not met'}), over OpenCV's plain loop "
                f"{alone:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    command.run(main)
