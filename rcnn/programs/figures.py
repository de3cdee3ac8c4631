r"""Draw what an RCNN layer makes of a pair of frames, as Fig. 3: its spatial part, its temporal part and their sum.

    net="--net prototxt/deploy_rcnn_r.prototxt --weights snapshots/rcnn_r_iter_30000.caffemodel"
    python tools/figures.py $net --frames data/ucf101/frames_5fps.lmdb --video v_PlayingFlute_g01_c01 --frame 6 \
        --out figure3.png
    python tools/figures.py $net --pairs data/ucf101/pairs_test01.lmdb --pair 7 --maps 3 17 40 --out figure3.png
    python tools/figures.py $net --images before.jpg after.jpg --layer inception_3a/3x3 --out figure3.png

The two frames stand at the left, then a row for each map: W * v(t, layer below) + b, What * v(t-1, same layer), and
their sum as it is before the ReLU (Eq. 3).  In a net that averages the two parts, each is shown halved, so that what is
shown adds up.  Red is above zero, blue below, on one scale a row, so that the parts of a map can be compared.

Without --net the weights tell the net, and ONNX Runtime or PyTorch runs it, as in tools/classify_video.py.

The net sees the centre of the frames, as in a test of one crop.  Image files are first made square, 256 pixels for an
input of 224 and in that proportion for others.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rcnn.command import input_path, output_picture, parser, positive
from rcnn.data import crops
from rcnn.data.video import read_image, resize
from rcnn.experiments import motion_energy, plots
from rcnn.files import InputError
from rcnn.nets.backends import add_options
from rcnn.nets.model import CONV1

LARGER = 256 / 224  # the side of a stored frame over that of the net's input (Sec. 3.1)


def main() -> None:
    args = arguments()
    network, mean = motion_energy.open_watched(args.backend, args.net, args.weights, args.gpu, args.mean)
    images, (before, now) = read_pair(args, network.size)
    views = [crops.oversample(image, network.size, 1) for image in images]
    spatial, temporal = motion_energy.parts(
        network, args.layer, *(crops.network_input(view, mean, args.scale) for view in views)
    )
    chosen = args.maps or most_moved(temporal, args.number)
    wrong = [number for number in chosen if not 0 <= number < len(spatial)]
    if wrong:
        raise InputError(f"--maps: {args.layer} has the maps 0 to {len(spatial) - 1}, not {wrong[0]}")
    halved = ", halved" if network.combine == "average" else ""
    plots.feature_maps(
        args.out,
        {f"frame t-1\n{before}": views[0][0], f"frame t\n{now}": views[1][0]},
        [
            f"spatial part{halved}\nW * v(t, below) + b",
            f"temporal part{halved}\nWhat * v(t-1)",
            "their sum\nbefore the ReLU",
        ],
        {f"map {number}": (spatial[number], temporal[number], spatial[number] + temporal[number]) for number in chosen},
        args.layer,
    )
    energy = 100 * np.square(temporal).sum() / max(np.square(temporal).sum() + np.square(spatial).sum(), 1e-30)
    print(
        f"{args.layer}, maps {', '.join(map(str, chosen))}: {args.out}; the temporal part has {energy:.1f} % of the "
        "energy of both parts, over all maps"
    )


def arguments() -> Namespace:
    options = parser(__doc__)
    add_options(options)
    options.add_argument("--layer", default=CONV1, help="any convolution with a temporal part")
    pair = options.add_mutually_exclusive_group(required=True)
    pair.add_argument("--frames", type=input_path, help="frames LMDB (tools/build_frames.py), with --video and --frame")
    pair.add_argument("--pairs", type=input_path, help="pairs LMDB (tools/build_pairs.py), with --pair")
    pair.add_argument("--images", type=input_path, nargs=2, metavar=("BEFORE", "NOW"), help="two image files")
    options.add_argument("--video", help="name of a video in --frames")
    options.add_argument("--frame", type=int, help="frame t of --video, counted from 0; t-1 is the one before it")
    options.add_argument("--pair", type=int, default=0, help="place of the pair in --pairs, counted from 0")
    options.add_argument(
        "--maps",
        type=int,
        nargs="+",
        help="numbers of the maps, counted from 0; without it those with the most energy in the temporal part",
    )
    options.add_argument("--number", type=positive, default=4, help="how many maps, where --maps is not given")
    options.add_argument("--out", type=output_picture, required=True, help="PNG to draw to")
    args = options.parse_args()
    if args.frames and (args.video is None or args.frame is None):
        options.error("--frames takes --video and --frame, which frame of which video to draw")
    return args


def read_pair(args: Namespace, size: int) -> tuple[Sequence[np.ndarray], Sequence[str]]:
    """Return the images t-1 and t (uint8 H x W x 3 BGR), and what they are called."""
    if args.images:
        side = round(LARGER * size)
        return [resize(read_image(path, "--images"), side) for path in args.images], [
            Path(path).name for path in args.images
        ]
    if args.pairs:
        return motion_energy.stored_pair(args.pairs, args.pair)
    return motion_energy.neighbours(args.frames, args.video, args.frame)


def most_moved(temporal: np.ndarray, number: int) -> list[int]:
    """Return the numbers of the maps with the most energy (sum of squares) in the temporal part, most first."""
    energy = np.square(temporal).sum(axis=(1, 2))
    return [int(index) for index in np.argsort(-energy, kind="stable")[:number]]
