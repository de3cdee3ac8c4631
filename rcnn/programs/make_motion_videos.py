"""Make a set of synthetic videos whose classes need motion, laid out and named as UCF-101.

    python tools/make_motion_videos.py --out demo/videos --appearances Flowers Crates --movements Up Down --groups 12
    python tools/make_motion_videos.py --out data/scenes --set scenes --groups 12 --clips 6 --splits 3

--set motion (rcnn/data/synthetic/motion.py): a class is an appearance and a movement, such as FlowersUp; one object on
a smooth background.  --set scenes (rcnn/data/synthetic/scenes.py, and data/README.md): twelve classes that differ by
appearance, by movement, or by both; textures, a moving camera, noise, lengths of 1 to 10 seconds.

OUT/FlowersUp/v_FlowersUp_g01_c01.avi and so on are 320x240, 25 frames a second, MPEG-4 (XVID; Motion JPEG where OpenCV
cannot write that, and OUT/recipe.json says so).  OUT/lists/ has classInd.txt and, for each split NN, trainlistNN.txt
and testlistNN.txt.  Split 01 tests on the last quarter of the groups, 02 on the quarter before it.

No drawn frame shows the movement.  The codec may leave a trace of it, as MPEG-4 keeps best what stands still.

Each video depends on --set, --seed, --seconds and its own name alone, not on --workers or on what else is made.
Interrupted or killed, the same command goes on where it stopped; each file is complete or not there.
"""

import argparse
import sys
from pathlib import Path

from rcnn import command
from rcnn.data import workers
from rcnn.data.synthetic import motion, video_set
from rcnn.files import InputError

LENGTHS = {"motion": "one length", "scenes": "the shortest length and the longest"}


def main() -> None:
    """Make a set by the command line."""
    parser = command.parser(__doc__)
    parser.add_argument(
        "--out", type=command.output_folder, required=True, help="folder to make the class folders and lists/ in"
    )
    parser.add_argument("--set", choices=tuple(video_set.SECONDS), default="motion", help="which kind of videos")
    parser.add_argument(
        "--appearances", nargs="+", choices=motion.APPEARANCES, help="what moves, of the set motion (default: all)"
    )
    parser.add_argument(
        "--movements", nargs="+", choices=motion.MOVEMENTS, help="how it moves, of the set motion (default: all)"
    )
    parser.add_argument("--groups", type=command.positive, default=12, help="groups of each class, 2 to 99")
    parser.add_argument("--clips", type=command.positive, default=4, help="videos of each group, at most 99")
    parser.add_argument(
        "--seconds",
        type=command.positive_real,
        nargs="+",
        help="length of a video, at most 600; of "
        "the set scenes the shortest and the longest (default: 3, of scenes 1 10)",
    )
    parser.add_argument("--splits", type=command.positive, default=1, help="how many lists of held-out groups to write")
    parser.add_argument("--seed", type=command.seed, default=1, help="of the videos, 0 to 4294967295")
    parser.add_argument("--workers", type=command.positive, default=workers.cores(), help="processes that encode")
    args = parser.parse_args()
    args.seconds = tuple(args.seconds or video_set.SECONDS[args.set])
    check(args)
    classes, codec = video_set.classes_of(args.set, args.appearances, args.movements), video_set.choose_codec()
    made = video_set.VideoSet(classes, args.groups, args.clips, args.seconds, args.splits, args.seed, codec)
    out = Path(args.out)
    video_set.make(out, made, args.workers, command.progress)
    number, tested = (len(made.classes) * groups * args.clips for groups in (args.groups, len(made.test_groups(1))))
    print(
        f"{out}: {number} videos of {len(made.classes)} classes, {' to '.join(f'{one:g}' for one in made.seconds)} "
        f"s each, {codec}; each split has {number - tested} to train on and {tested} to test on"
    )
    if codec != video_set.CODECS[0]:
        print(f"OpenCV cannot write {video_set.CODECS[0]} (MPEG-4) here, so the videos are {codec}", file=sys.stderr)


def check(args: argparse.Namespace) -> None:
    """Raise InputError for arguments that make no set."""
    if not 2 <= args.groups <= 99 or args.clips > 99:
        raise InputError(f"--groups {args.groups} --clips {args.clips}: there can be 2 to 99 groups, at most 99 clips")
    shortest, longest = min(args.seconds), max(args.seconds)
    if round(shortest * motion.FPS) < 2 or longest > 600:
        raise InputError(
            f"--seconds {shortest if longest <= 600 else longest:g}: a video has two frames "
            f"({2 / motion.FPS} s) at least, and 600 s at most"
        )
    if len(args.seconds) != len(video_set.SECONDS[args.set]) or args.seconds[0] != shortest:
        raise InputError(f"--seconds: the set {args.set} takes {LENGTHS[args.set]}")
    if args.set != "motion" and (args.appearances or args.movements):
        raise InputError(f"--appearances and --movements are of the set motion; {args.set} has its own classes")
    if args.splits > (most := args.groups // max(1, args.groups // video_set.SHARE)):
        raise InputError(f"--splits {args.splits}: {args.groups} groups have {most} quarters to hold out, no more")
