r"""Make a pairs LMDB for training by random sampling: pairs of neighbouring frames in a shuffled order.

    python tools/build_pairs.py --frames data/ucf101/frames_5fps.lmdb --out data/ucf101/pairs_train01.lmdb \
        --list data/ucf101/ucfTrainTestlist/trainlist01.txt --classes data/ucf101/ucfTrainTestlist/classInd.txt

Frames are images or optical flow, as build_frames.py made them; each pair of flow has four planes, x and y of both.
Every pair of neighbouring frames of the listed videos is there once, in an order in which neighbours come from
different videos wherever that is possible.  The order depends on --seed alone; the same seed gives the same bytes.

--encoding jpeg: one JPEG a pair, frame t - 1 above frame t; Caffe's Data layer decodes it and layers/pair_augment.py
    crops it.
--encoding raw: 6 x SIZE x SIZE bytes a pair, which Caffe's Data layer crops and mirrors by itself; about ten times
    the disk.  Of flow 4 x SIZE x SIZE, which pair_augment.py crops, as Caffe would mirror without negating x.

OUT is complete or not there.  Interrupted or killed, the same command goes on where it stopped.
"""

from typing import Any

from rcnn import command
from rcnn.data import lists, pairs_lmdb, records, workers
from rcnn.data.builds import Build, finished
from rcnn.data.sampling import clashes, pair_order
from rcnn.data.sequences import videos_with_frames


def main() -> None:
    """Build a pairs LMDB by the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("--frames", type=command.input_path, required=True, help="frames LMDB, of build_frames.py")
    parser.add_argument(
        "--list",
        type=command.input_path,
        required=True,
        nargs="+",
        help="trainlistNN.txt or testlistNN.txt, one or more",
    )
    lists.add_class_options(parser)
    parser.add_argument("--out", type=command.output_folder, required=True, help="the LMDB to make, a folder")
    parser.add_argument("--encoding", choices=records.ENCODINGS, default="jpeg", help="how a pair is stored")
    parser.add_argument("--quality", type=int, choices=range(1, 101), metavar="1..100", default=95, help="JPEG quality")
    parser.add_argument("--seed", type=command.seed, default=1, help="of the order, 0 to 4294967295")
    parser.add_argument(
        "--pairs-per-video",
        type=command.positive,
        default=None,
        help="at most so many pairs of a video, from the middles of equal parts of it; all by default",
    )
    parser.add_argument("--workers", type=command.positive, default=workers.cores(), help="processes that encode")
    parser.add_argument("--force", action="store_true", help="replace an OUT that was made with other settings")
    args = parser.parse_args()
    settings = pairs_lmdb.Settings(args.encoding, args.quality, args.seed, args.pairs_per_video)
    classes, chosen = lists.read_chosen(args)
    with records.open_records(args.frames, "frames") as frames:
        recipe = pairs_lmdb.recipe(frames, args.list, chosen, settings)
        listed = lists.read_lists(args.list, classes, chosen)
        videos, skipped = videos_with_frames(listed, frames, ", ".join(args.list))
    manifest = finished(args.out, "pairs", recipe, args.force)
    if manifest:
        print(f"{args.out} is there already, made with these settings")
    else:
        order = pair_order({video.name: len(times) for video, times in videos}, args.seed, args.pairs_per_video)
        with Build(args.out, "pairs", recipe, command.tell) as build:
            with workers.Pool(args.workers) as executor:
                pairs_lmdb.store(build, args.frames, order, settings, executor, 2 * args.workers, command.progress)
            missing = sum(reason == lists.NO_FILE for _, reason in skipped)
            manifest = build.finish(
                counts={
                    "pairs": len(order),
                    "videos": len(videos),
                    "skipped": len(skipped) - missing,
                    **({"missing": missing} if missing else {}),
                    "neighbours_of_one_video": clashes(order),
                },
                skipped=[{"video": video.name, "reason": reason} for video, reason in skipped],
            )
    report(args.out, manifest)


def report(out: str, manifest: dict[str, Any]) -> None:
    """Print what the LMDB holds and lacks."""
    command.tell_reasons("skipped", [(entry["video"], entry["reason"]) for entry in manifest["skipped"]])
    counts = manifest["counts"]
    print(f"{out}: {counts['pairs']} pairs of {counts['videos']} videos; {counts['skipped']} videos skipped")
    if clashing := counts["neighbours_of_one_video"]:
        print(f"{clashing} neighbours share a video: one video has more pairs than all others together")
