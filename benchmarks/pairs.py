"""How fast Caffe's Data layer and layers/pair_augment.py give pairs, and what share of a training iteration that costs.

    python benchmarks/pairs.py                                     # on records that it makes
    python benchmarks/pairs.py --pairs data/ucf101/pairs_train01.lmdb --batch 64 --gpu 0

Speed: pairs a second out of a net of the two data layers alone, at SIZE x SIZE crops, beside a bare single-thread
cv2.imdecode loop over the same records, in alternating rounds of one run; the aim is a ratio of at least 0.6.  The
larger a record, the longer its JPEG takes and the less all else counts, so that the ratio grows: records are made in
three sizes, by noise that is hard to compress.  Beside the ratio of speeds stands that of processor time, which counts
the Data layer's own thread too and depends less on what else the machine does.

Share: one forward and backward pass of the full-width RCNN-r training net (stage 2), and in it the time until its
input is there, on the last of the records.  The Data layer decodes in a thread of its own while the net computes, so
that time is what the data cost beyond it.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from rcnn import command
from rcnn.data import builds, records, video
from rcnn.data.synthetic import motion

AIM = 0.6
PREFETCHED = 4  # batches that Caffe's Data layer holds ready
VIDEOS, STEP, SIDE = 12, 5, 256
NOISE = (0, 3, 9)  # standard deviations in grey levels: about 25, 50 and 75 kB a pair


def make_records(path, noise):
    """Make a jpeg pairs LMDB of frames of the motion set, 5 a second, 256 x 256, with Gaussian noise."""
    with builds.Build(path, "pairs", {"encoding": "jpeg"}, print) as build:
        number = 0
        for index in range(VIDEOS):
            appearance, movement = (names[index % len(names)] for names in (motion.APPEARANCES, motion.MOVEMENTS))
            random = np.random.default_rng(index)
            drawn = list(motion.frames(appearance, movement, 3, random))[::STEP]
            frames = [noisy(video.resize(frame, SIDE), noise, random) for frame in drawn]
            for t in range(1, len(frames)):
                record = records.encode_pair(frames[t - 1], frames[t], index % 2)
                build.put([(records.pair_key(number, f"v{index}", t), record)])
                number += 1
        build.finish(counts={"pairs": number})


def noisy(image, noise, random):
    """Return an image (uint8 height x width x 3) with Gaussian noise of a standard deviation, alike in all colours."""
    return (image + random.normal(0, noise, (*image.shape[:2], 1))).round().clip(0, 255).astype(np.uint8)


def read_jpegs(path, number):
    """Return the JPEGs (uint8 arrays) of the first `number` records, from the first again where there are fewer."""
    with records.open_records(path, "pairs", "jpeg") as pairs:
        jpegs = []
        for _, record in pairs:
            jpegs.append(np.frombuffer(records.Datum.FromString(record).data, np.uint8))
            if len(jpegs) == number:
                break
    return [jpegs[index % len(jpegs)] for index in range(number)]


def measured(action, number):
    """Call `action()`, which treats `number` pairs; return (pairs a second, processor milliseconds a pair)."""
    clock, processor = time.perf_counter(), time.process_time()
    action()
    return number / (time.perf_counter() - clock), 1000 * (time.process_time() - processor) / number


def bare_speed(jpegs):
    """Return what is `measured` of a loop over cv2.imdecode."""

    def decode():
        for jpeg in jpegs:
            cv2.imdecode(jpeg, cv2.IMREAD_COLOR)

    return measured(decode, len(jpegs))


def net_speed(net, batch, batches):
    """Return what is `measured` of a net of data layers once it has used up what was read ahead."""

    def forward(times):
        for _ in range(times):
            net.forward()

    forward(PREFETCHED + 2)
    speed, processor = measured(lambda: forward(batches), batch * batches)
    time.sleep(2 * PREFETCHED * batch / speed)  # so that reading ahead does not slow what is measured next
    return speed, processor


def load(caffe, message):
    """Return a caffe.Net in training phase of a NetParameter."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(str(message))
        file.flush()
        return caffe.Net(file.name, caffe.TRAIN)


def data_layers(message):
    """Return a NetParameter of the data layers of another one, and the name of the last of them."""
    last = [layer.type for layer in message.layer].index("Python")
    alone = type(message)()
    alone.layer.extend(message.layer[: last + 1])
    return alone, message.layer[last].name


def iteration_seconds(net, last, iterations):
    """Return two medians in seconds: of an iteration, and of what comes before its input is there.

    last: the name of the last data layer.
    """
    names = list(net._layer_names)
    after = names[names.index(last) + 1]
    whole, data = [], []
    for _ in range(iterations + 1):
        began = time.perf_counter()
        net.forward(end=last)
        data.append(time.perf_counter() - began)
        net.forward(start=after)
        net.backward()
        float(net.params["conv1/7x7_s2"][0].diff.flat[0])  # waits for a GPU
        whole.append(time.perf_counter() - began)
    return statistics.median(whole[1:]), statistics.median(data[1:])


def print_speed(args, path):
    """Print the speeds of a pairs LMDB; return pairs a second of the data layers."""
    import caffe

    from rcnn.nets import prototxt as net
    from rcnn.recipe import parse

    jpegs = read_jpegs(path, args.batch * args.batches)
    settings = parse({"size": args.size, "batch": args.batch, "seed": 1})
    feed = load(caffe, data_layers(net.rcnn_r(settings, path, net.TRAIN))[0])
    print(f"{sum(map(len, jpegs)) / len(jpegs) / 1000:.0f} kB a pair, {args.size} x {args.size}, batch {args.batch}")
    net_speed(feed, args.batch, 1)  # a new net reads ahead at once, which would slow the first round's loop
    rounds = [(bare_speed(jpegs), net_speed(feed, args.batch, args.batches)) for _ in range(args.rounds)]
    for number, (bare, fed) in enumerate(rounds, 1):
        print(
            f"  round {number}: imdecode {bare[0]:7.1f} pairs/s, {bare[1]:5.2f} ms of processor each   "
            f"Data + pair_augment {fed[0]:7.1f} pairs/s, {fed[1]:5.2f} ms   ratio {fed[0] / bare[0]:.2f}, "
            f"of processor time {bare[1] / fed[1]:.2f}"
        )
    ratio, processor = (
        statistics.median(ratios) for ratios in zip(*((fed[0] / bare[0], bare[1] / fed[1]) for bare, fed in rounds))
    )
    print(
        f"  median ratio {ratio:.3f} (aim: {AIM}, {'met' if ratio >= AIM else 'not met'}), "
        f"of processor time {processor:.3f}",
        flush=True,
    )
    return statistics.median(fed[0] for _, fed in rounds)


def print_share(args, path, speed):
    """Print what share of a training iteration the data cost; speed: pairs a second of the data layers."""
    import caffe

    from rcnn.nets import prototxt as net
    from rcnn.recipe import parse

    message = net.rcnn_r(parse({"size": args.size, "batch": args.train_batch, "seed": 1}), path, net.TRAIN)
    whole, waiting = iteration_seconds(load(caffe, message), data_layers(message)[1], args.iterations)
    device, reading = "CPU" if args.gpu is None else f"GPU {args.gpu}", args.train_batch / speed
    print(
        f"training iteration of {args.train_batch} pairs on the {device}: {whole:.2f} s; its data take "
        f"{reading:.3f} s by themselves ({100 * reading / whole:.1f} %), {waiting:.3f} s with reading ahead "
        f"({100 * waiting / whole:.1f} %)"
    )


def measure(args, paths):
    """Print the figures of pairs LMDBs."""
    os.environ.setdefault("GLOG_minloglevel", "2")  # else Caffe prints the whole net; it reads this when imported
    import caffe

    if args.gpu is not None:
        caffe.set_device(args.gpu)
        caffe.set_mode_gpu()
    cv2.setNumThreads(1)
    for path in paths:
        speed = print_speed(args, path)
    print_share(args, paths[-1], speed)


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--pairs", help="jpeg pairs LMDB; made from the motion set if not given")
    parser.add_argument("--size", type=command.positive, default=224, help="side of the crops, pixels")
    parser.add_argument("--batch", type=command.positive, default=32, help="pairs a batch where speed is measured")
    parser.add_argument("--batches", type=command.positive, default=8, help="batches a round")
    parser.add_argument("--rounds", type=command.positive, default=7, help="rounds; the median counts")
    parser.add_argument("--train-batch", type=command.positive, default=4, help="pairs a training iteration")
    parser.add_argument("--iterations", type=command.positive, default=3, help="training iterations; the median counts")
    parser.add_argument("--gpu", type=int, help="GPU to train on; CPU if not given")
    args = parser.parse_args()
    if args.pairs:
        measure(args, [args.pairs])
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"pairs_{noise}.lmdb" for noise in NOISE]
        for path, noise in zip(paths, NOISE):
            make_records(path, noise)
        measure(args, paths)


if __name__ == "__main__":
    command.run(main)
