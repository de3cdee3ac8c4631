r"""Measure how much of a layer's energy lies where something moves (the claim of Fig. 3, as a number).

    python tools/motion_energy.py --net prototxt/deploy_rcnn_r.prototxt --out motion_energy.json \
        --weights snapshots/rcnn_r_iter_30000.caffemodel --pairs data/ucf101/pairs_test01.lmdb

For each pair: the share of the energy of the layer's spatial part, temporal part and their sum that lies in the tenth
of its places where the two frames differ most; and the same with the second frame seen twice, which is without motion.
A part that knew nothing of motion would have a tenth there.  Without --net the weights tell the net, as in
tools/classify_video.py.  rcnn/experiments/motion_energy.py says more.
"""

import json
from argparse import Namespace
from collections.abc import Sequence
from itertools import islice
from typing import Optional

import numpy as np

from rcnn.command import input_path, output_file, parser, positive, progress
from rcnn.data import crops
from rcnn.data.records import decode_pair, open_records
from rcnn.experiments import motion_energy
from rcnn.files import InputError, write_text
from rcnn.nets.backends import add_options
from rcnn.nets.model import CONV1

NAMES = ("motion", "without motion")


def main() -> None:
    args = arguments()
    network, means = motion_energy.open_watched(args.backend, args.net, args.weights, args.gpu, args.mean)
    with open_records(args.pairs, "pairs") as pairs:
        motion_energy.check_images(pairs)
        number = min(args.number, len(pairs))
        if not number:
            raise InputError(f"{args.pairs} has no pairs")
        shares = []
        with progress(number, "pair") as bar:
            for _, record in islice(pairs, number):
                previous, frame = (crops.oversample(image, network.size, 1)[0] for image in decode_pair(record)[:2])
                shares.append(motion_energy.shares(network, args.layer, previous, frame, means, args.scale))
                bar.update()
    settings = {"pairs": number, "layer": args.layer, "region": motion_energy.MOVING}
    result = {**settings, "net": args.net, "weights": args.weights}
    for name, kept in zip(NAMES, zip(*shares)):
        result[name] = {part: mean([pair[part] for pair in kept]) for part in motion_energy.PARTS}
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    for name in NAMES:
        print(f"{name}: " + ", ".join(f"{part} {100 * value:.1f} %" for part, value in result[name].items()))
    print(f"{number} pairs, {args.layer}, the {100 * motion_energy.MOVING:g} % of places that change most: {args.out}")


def arguments() -> Namespace:
    options = parser(__doc__)
    add_options(options)
    options.add_argument("--layer", default=CONV1, help="any convolution with a temporal part")
    options.add_argument("--pairs", type=input_path, required=True, help="pairs LMDB (tools/build_pairs.py)")
    options.add_argument("--number", type=positive, default=1000, help="how many pairs, the first ones, at most")
    options.add_argument("--out", type=output_file, required=True, help="JSON file to write")
    return options.parse_args()


def mean(values: Sequence[Optional[float]]) -> float:
    """Return the mean of the shares that there are, and raise InputError where there is none."""
    shares = [value for value in values if value is not None]
    if not shares:
        raise InputError("a part of the layer is 0 on every pair; were the weights trained?")
    return float(np.mean(shares))
