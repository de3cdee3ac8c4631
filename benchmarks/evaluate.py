"""How fast videos are scored beside the net alone: what reading, decoding, cropping and storing cost.

    python benchmarks/evaluate.py
    python benchmarks/evaluate.py --gpu 0 --batch 100

Frames a second of what tools/evaluate.py does (frames out of an LMDB, crops, the net, the file of scores) over those of
the bare net's forward on the same batch, its input already there, in alternating rounds of one run, for each full-size
deploy net; medians.  The aim is a ratio of at least 0.85.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from rcnn import command
from rcnn.data import builds, crops, records, video
from rcnn.data.synthetic import motion
from rcnn.scoring import score_writing

AIM = 0.85
SIDE, FRAMES, VIDEOS = 256, 4, 2


def main():
    options = command.parser(__doc__)
    options.add_argument("--crops", type=int, choices=crops.PROTOCOLS, default=5, help="crops a frame")
    options.add_argument("--batch", type=command.positive, default=10, help="crops a forward pass")
    options.add_argument("--rounds", type=command.positive, default=5, help="rounds of each, alternating")
    options.add_argument("--gpu", type=int, help="number of the GPU (default: the CPU)")
    args = options.parse_args()
    from rcnn.nets import prototxt as net

    with tempfile.TemporaryDirectory() as folder:
        make_frames(Path(folder) / "frames.lmdb")
        print(
            f"{VIDEOS} videos of {FRAMES} frames, {args.crops} crops, {args.batch} crops a pass, medians of "
            f"{args.rounds} rounds"
        )
        for make in (net.deploy_cnn, net.deploy_rcnn_r, net.deploy_rcnn_s):
            whole, bare = measure(make, Path(folder), args)
            ratio = statistics.median(bare) / statistics.median(whole)
            print(
                f"{make.__name__:14} bare {VIDEOS * FRAMES / statistics.median(bare):6.2f} frames/s, evaluate "
                f"{VIDEOS * FRAMES / statistics.median(whole):6.2f}, ratio {ratio:.2f} "
                f"({'meets' if ratio >= AIM else 'misses'} the aim of {AIM})",
                flush=True,
            )


def make_frames(path):
    """Make a frames LMDB of the motion set, 256 x 256."""
    with builds.Build(path, "frames", {"fps": 5.0}, print) as build:
        for index in range(VIDEOS):
            drawn = motion.frames(motion.APPEARANCES[0], motion.MOVEMENTS[index], 2, np.random.default_rng(index))
            images = [video.resize(image, SIDE) for image in list(drawn)[:FRAMES]]
            build.put(
                (records.frame_key(f"v{index}", t), records.encode_frame(image, index))
                for t, image in enumerate(images)
            )
        build.finish(counts={"frames": FRAMES * VIDEOS}, videos=[], skipped=[])


def measure(make, folder, args):
    """Return the seconds that scoring the videos took in each round, and those of the net's passes alone."""
    from google.protobuf import text_format

    from rcnn.nets import prototxt as net
    from rcnn.nets.caffe_net import CaffeNetwork
    from rcnn.scoring.score_videos import score_videos

    caffe_net, weights = folder / "net.prototxt", folder / "weights.caffemodel"
    caffe_net.write_text(text_format.MessageToString(make(net.Model())))
    net.caffe.Net(str(caffe_net), net.TEST).save(str(weights))
    network, counts = CaffeNetwork(caffe_net, weights, args.gpu), [FRAMES] * VIDEOS
    calls, forward = [], network.forward

    def noted(*arrays, **named):
        calls.append((arrays, named))
        return forward(*arrays, **named)

    def score():
        listed = [(f"v{index}", index, np.arange(FRAMES) / 5) for index in range(VIDEOS)]
        classes = [str(number) for number in range(network.classes)]
        with (
            records.open_records(folder / "frames.lmdb", "frames") as frames,
            score_writing.writing(folder / "scores.h5", listed, args.crops, network.signals, classes, {}) as writer,
        ):
            for index, block in score_videos(
                network, counts, lambda index, t: frames.frame(f"v{index}", t)[0], args.crops, args.batch
            ):
                writer.add(index, block)

    network.forward = noted
    score()
    network.forward = forward
    whole, bare = [], []
    for _ in range(args.rounds):
        whole.append(seconds(score))
        bare.append(seconds(lambda: [forward(*arrays, **named) for arrays, named in calls]))
    return whole, bare


def seconds(work):
    """Return how long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    command.run(main)
