"""Make a pairs LMDB for training by random sampling: pairs of neighbouring frames in a shuffled order.

    python tools/build_pairs.py --frames data/ucf101/frames_5fps.lmdb --out data/ucf101/pairs_train01.lmdb \\
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
from functools import lru_cache

import cv2

from rcnn import command

from rcnn.data import lists

from rcnn.data import records

from rcnn.data import workers
from rcnn.data.builds import Build, finished
from rcnn.files import InputError, sha256
from rcnn.data.sampling import clashes, pair_order

BATCH = 32


def encode(job):
    """Return [(key, record)] of some pairs; runs in a worker process.

    job: (path of the frames LMDB, [(position, video, t)], encoding, JPEG quality).
    """
    path, pairs, encoding, quality = job
    frames = _frames(path)
    entries = []
    for position, name, t in pairs:
        previous, _ = frames.frame(name, t - 1)
        frame, label = frames.frame(name, t)
        record = records.encode_pair(previous, frame, label, encoding, quality)
        entries.append((records.pair_key(position, name, t), record))
    return entries


@lru_cache(1)
def _frames(path):
    return records.open_records(path, "frames")


def frame_counts(videos, manifest, classes, source):
    """Return ({name: number of frames}, skipped) of the listed videos, from the manifest of the frames LMDB `source`.

    skipped: that manifest's entries of listed videos that it skipped.  Raises InputError where classes or labels
    differ from the manifest's, or a video is not in it at all.
    """
    if manifest["recipe"]["classes"] != classes:
        raise InputError(f"--classes differs from the class list that {source} was made with")
    known = {entry["name"]: entry for entry in manifest["videos"]}
    reasons = {entry["video"]: entry for entry in manifest["skipped"]}
    counts, skipped = {}, []
    for video in videos:
        if video.name in reasons:
            skipped.append(reasons[video.name])
        elif video.name not in known:
            raise InputError(f"{source} lacks {video.name}; build it from a list that names it")
        elif known[video.name]["label"] != video.label:
            other = known[video.name]["label"]
            raise InputError(f"{video.name} has label {video.label} in the list and {other} in {source}")
        else:
            counts[video.name] = known[video.name]["frames"]
    return counts, skipped


def store(pairs, source, order, encoding, quality, executor, ahead):
    """Store those pairs of `order` (sampling.pair_order) in `pairs`, a builds.Build, that it lacks.

    source: path of the frames LMDB; executor: a concurrent.futures Executor; ahead: how many batches may be under way.
    """
    stored = len(pairs)
    rest = [(position, *order[position]) for position in range(stored, len(order))]
    jobs = [(source, rest[start:start + BATCH], encoding, quality) for start in range(0, len(rest), BATCH)]
    with command.progress(len(order), "pair", stored) as progress:
        for entries in workers.in_order(executor, encode, jobs, ahead):
            pairs.put(entries)
            progress.update(len(entries))


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--frames", required=True, help="frames LMDB, of build_frames.py")
    parser.add_argument("--list", required=True, nargs="+", help="trainlistNN.txt or testlistNN.txt, one or more")
    parser.add_argument("--classes", required=True, help="classInd.txt")
    parser.add_argument("--out", required=True, help="the LMDB to make, a folder")
    parser.add_argument("--encoding", choices=records.ENCODINGS, default="jpeg", help="how a pair is stored")
    parser.add_argument("--quality", type=int, choices=range(1, 101), metavar="1..100", default=95, help="JPEG quality")
    parser.add_argument("--seed", type=int, default=1, help="of the order, 0 to 4294967295")
    parser.add_argument("--pairs-per-video", type=command.positive, default=None,
                        help="at most so many pairs of a video, from the middles of equal parts of it; all by default")
    parser.add_argument("--workers", type=command.positive, default=workers.cores(), help="processes that encode")
    parser.add_argument("--force", action="store_true", help="replace an OUT that was made with other settings")
    args = parser.parse_args()
    if not 0 <= args.seed < 2 ** 32:
        raise InputError(f"--seed {args.seed} is not in 0 to 4294967295")
    classes = lists.read_classes(args.classes)
    videos = lists.read_lists(args.list, classes)
    with records.open_records(args.frames, "frames") as frames:
        counts, skipped = frame_counts(videos, frames.manifest, classes, args.frames)
        frames_recipe = frames.manifest["recipe"]
    if not counts:
        raise InputError(f"{args.frames} skipped every video of the list, so there are no pairs")
    recipe = {"frames": {"manifest_sha256": sha256(f"{args.frames}/{records.MANIFEST}"),
                         **{key: frames_recipe[key] for key in ("fps", "size", "quality", "decoder")}},
              "lists": records.sources(args.list), "classes": classes, "encoding": args.encoding,
              "quality": args.quality if args.encoding == "jpeg" else None, "seed": args.seed,
              "pairs_per_video": args.pairs_per_video,
              "encoder": f"OpenCV {cv2.__version__}, {'grey' if 'flow' in frames_recipe else 'chroma 4:2:2'}"}
    if "flow" in frames_recipe:
        recipe["flow"] = frames_recipe["flow"]
    manifest = finished(args.out, "pairs", recipe, args.force)
    if manifest:
        print(f"{args.out} is there already, made with these settings")
    else:
        order = pair_order(counts, args.seed, args.pairs_per_video)
        with Build(args.out, "pairs", recipe, command.tell) as pairs:
            with workers.Pool(args.workers) as executor:
                store(pairs, args.frames, order, args.encoding, args.quality, executor, 2 * args.workers)
            manifest = pairs.finish(counts={"pairs": len(order), "videos": len(counts), "skipped": len(skipped),
                                            "neighbours_of_one_video": clashes(order)}, skipped=skipped)
    report(args.out, manifest)


def report(out, manifest):
    """Print what the LMDB holds and lacks."""
    for entry in manifest["skipped"]:
        command.tell(f"skipped {entry['video']}: {entry['reason']}")
    counts = manifest["counts"]
    print(f"{out}: {counts['pairs']} pairs of {counts['videos']} videos; {counts['skipped']} videos skipped")
    if clashing := counts["neighbours_of_one_video"]:
        print(f"{clashing} neighbours share a video: one video has more pairs than all others together")
