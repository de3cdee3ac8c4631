r"""Decode videos into a frames LMDB: one Caffe Datum (JPEG and label) a frame, a video's frames side by side.

Frames are images, or with --flow the optical flow at them, for the flow stream's nets of two channels:

    lists=data/ucf101/ucfTrainTestlist
    python tools/build_frames.py --videos data/ucf101/UCF-101 --classes $lists/classInd.txt \
        --list $lists/trainlist01.txt $lists/testlist01.txt --fps 5 --out data/ucf101/frames_5fps.lmdb
    python tools/build_frames.py --videos data/ucf101/UCF-101 --classes $lists/classInd.txt --flow brox \
        --list $lists/trainlist01.txt $lists/testlist01.txt --fps 5 --out data/ucf101/flow_5fps.lmdb

UCF-101's own folder and lists are taken as they are.  --only-classes takes some of the class list's classes, and
--missing skip leaves out listed videos that the folder lacks; the manifest counts and names them.

The frames are those on screen every 1/FPS seconds by the video's time stamps, resized to SIZE x SIZE.  A video that is
broken, empty or gives a single frame is skipped, named with the reason, and counted in OUT/manifest.json; one that
breaks off gives its frames until there.

Flow at a frame goes from it to the next frame of the video, whatever FPS is, as two-stream work has it: between frames
0.2 s apart motion is too large for these methods, and for --flow-bound.  --flow-between samples takes it to the next
frame at FPS all the same.  A video's last frame has the flow from the one before it.  Flow is computed at the video's
own size, resized, and stored in 8 bits, where --flow-bound pixels (of the resized frame) are the largest motion; the
manifest says which share of all pixels was clipped to it.

A worker that dies is replaced, and its videos are decoded again; one that kills it 3 times more is skipped.  With
--dask the work runs on a scheduler's workers (`dask scheduler`, `dask worker ADDRESS --nthreads 1`).  The scheduler and
its workers need this package, and the workers see the videos by the same paths.

OUT is complete or not there.  Interrupted or killed, the same command goes on where it stopped.
"""

from pathlib import Path
from typing import Any

from rcnn import command
from rcnn.data import flow, flow_frames, frames_lmdb, lists, records, workers
from rcnn.data.builds import Build, finished


def main() -> int:
    """Build a frames LMDB by the command line; return the exit status."""
    parser = command.parser(__doc__)
    parser.add_argument("--videos", type=command.any_path, required=True, help="folder that holds the class folders")
    parser.add_argument(
        "--list",
        type=command.input_path,
        required=True,
        nargs="+",
        help="trainlistNN.txt and testlistNN.txt, one or more",
    )
    lists.add_class_options(parser)
    parser.add_argument(
        "--missing", choices=lists.MISSING, default=lists.MISSING[0], help="what a listed video without a file is"
    )
    parser.add_argument("--fps", type=command.positive_real, default=5.0, help="frames a second")
    parser.add_argument("--size", type=command.positive, default=256, help="height and width of the frames, pixels")
    parser.add_argument("--quality", type=int, choices=range(1, 101), metavar="1..100", default=95, help="JPEG quality")
    parser.add_argument("--flow", choices=flow.METHODS, help="store optical flow by this method (default: images)")
    parser.add_argument(
        "--flow-between",
        choices=flow_frames.BETWEEN,
        default="neighbours",
        help="from each frame to the next of the video, or to the next at FPS",
    )
    parser.add_argument(
        "--flow-bound",
        type=command.positive_real,
        default=flow.BOUND,
        help="largest motion that 8 bits hold, pixels of the resized frame",
    )
    parser.add_argument("--out", type=command.output_folder, required=True, help="the LMDB to make, a folder")
    parser.add_argument("--workers", type=command.positive, default=workers.cores(), help="processes that decode")
    parser.add_argument("--dask", metavar="ADDRESS", help="of a dask scheduler, whose workers decode instead")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a video was skipped")
    parser.add_argument("--force", action="store_true", help="replace an OUT that was made with other settings")
    args = parser.parse_args()
    classes, chosen = lists.read_chosen(args)
    listed = sorted(lists.read_lists(args.list, classes, chosen), key=lambda video: records.key_order(video.name))
    videos, missing = lists.find_files(listed, args.videos, args.missing)
    settings = frames_lmdb.Settings(
        args.fps,
        args.size,
        args.quality,
        flow_frames.recipe(args.flow, args.flow_between, args.flow_bound) if args.flow else None,
    )
    recipe = frames_lmdb.recipe(args.list, classes, settings, chosen, missing)
    manifest = finished(args.out, "frames", recipe, args.force)
    if manifest:
        print(f"{args.out} is there already, made with these settings")
    else:
        with (
            workers.cluster(args.dask) if args.dask else workers.Pool(args.workers) as executor,
            Build(args.out, "frames", recipe, command.tell) as build,
        ):
            manifest = frames_lmdb.store(
                build,
                videos,
                Path(args.videos).resolve(),
                settings,
                executor,
                2 * executor.workers,
                command.progress,
                missing,
            )
    return report(args.out, manifest, args.strict)


def report(out: str, manifest: dict[str, Any], strict: bool) -> int:
    """Print what the LMDB holds and lacks; return the exit status."""
    for entry in manifest["warnings"]:
        command.tell(f"{entry['video']}: {entry['reason']}")
    command.tell_reasons("skipped", [(entry["video"], entry["reason"]) for entry in manifest["skipped"]])
    counts = manifest["counts"]
    if "clipped" in manifest:
        print(
            f"{100 * manifest['clipped']:.2f} % of the pixels move by more than "
            f"{manifest['recipe']['flow']['bound']:g} pixels and were clipped"
        )
    missing = f"; {counts['missing']} listed videos have no file" if "missing" in counts else ""
    print(f"{out}: {counts['frames']} frames of {counts['videos']} videos; {counts['skipped']} videos skipped{missing}")
    return 1 if strict and counts["skipped"] else 0
