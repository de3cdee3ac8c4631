"""Decode videos into a frames LMDB: one Caffe Datum (JPEG and label) a frame, a video's frames side by side.

Frames are images, or with --flow the optical flow at them, for the flow stream's nets of two channels:

    lists=data/ucf101/ucfTrainTestlist
    python tools/build_frames.py --videos data/ucf101/UCF-101 --classes $lists/classInd.txt \\
        --list $lists/trainlist01.txt $lists/testlist01.txt --fps 5 --out data/ucf101/frames_5fps.lmdb
    python tools/build_frames.py --videos data/ucf101/UCF-101 --classes $lists/classInd.txt --flow brox \\
        --list $lists/trainlist01.txt $lists/testlist01.txt --fps 5 --out data/ucf101/flow_5fps.lmdb

UCF-101's own folder and lists are taken as they are.  The frames are those on screen every 1/FPS seconds by the
video's time stamps, resized to SIZE x SIZE.  A video that is broken, empty or gives a single frame is skipped, named
with the reason, and counted in OUT/manifest.json; one that breaks off gives its frames until there.

Flow at a frame goes from it to the next frame of the video, whatever FPS is, as two-stream work has it: between frames
0.2 s apart motion is too large for these methods, and for --flow-bound.  --flow-between samples takes it to the next
frame at FPS all the same.  A video's last frame has the flow from the one before it.  Flow is computed at the video's
own size, resized, and stored in 8 bits, where --flow-bound pixels (of the resized frame) are the largest motion; the
manifest says which share of all pixels was clipped to it.

A worker that dies is replaced, and its videos are decoded again; one that kills it 3 times more is skipped.  With
--dask the work runs on a scheduler's workers (`dask scheduler`, `dask worker ADDRESS --nthreads 1`), which need this
package and see the videos by the same paths.

OUT is complete or not there.  Interrupted or killed, the same command goes on where it stopped.
"""

import cv2

from rcnn import command

from rcnn.data import flow

from rcnn.data import flow_frames

from rcnn.data import lists

from rcnn.data import records

from rcnn.data import video

from rcnn.data import workers
from rcnn.data.builds import Build, finished
from rcnn.files import InputError


def decode(job):
    """Return (note, [(key, record)]) of one video; runs in a worker process.

    job: (lists.Video, path of its file, frames a second, size, JPEG quality, flow_frames.recipe or None for images).
    note: dict of its label, times (seconds) and warnings, and of flow the share of pixels clipped; or only the reason
    for which it is skipped.
    """
    listed, path, fps, size, quality, settings = job
    times, entries, warnings, clipped = [], [], [], []
    try:
        if settings:
            frames = flow_frames.sample(path, fps, size, settings, warnings)
        else:
            frames = ((time, video.resize(image, size), 0) for time, image in video.sample(path, fps, warnings))
        for time, frame, share in frames:
            key = records.frame_key(listed.name, len(times))
            entries.append((key, records.encode_frame(frame, listed.label, quality)))
            times.append(round(time, 6))
            clipped.append(share)
    except (video.VideoError, cv2.error) as error:
        return {"reason": " ".join(str(error).split())}, []
    if len(times) < 2:
        reason = f"a single frame at {fps:g} frames a second, and a pair needs two"
        return {"reason": "; ".join([reason, *warnings])}, []
    note = {"label": listed.label, "times": times, "warnings": warnings}
    return {**note, "clipped": sum(clipped) / len(times)} if settings else note, entries


def given_up(job):
    """Return what stands for `decode` of a video that kills its worker process."""
    return {"reason": f"it killed its worker process {workers.TRIES} times, by a crash or for want of memory"}, []


def store(frames, videos, folder, settings, executor, ahead):
    """Store the frames of `videos` in `frames`, a builds.Build, and return its manifest.

    folder: Path of the class folders; settings: (frames a second, size, JPEG quality, flow_frames.recipe or None);
    executor: as of workers.in_order; ahead: how many videos may be under way.
    """
    notes = {name: note for name, note in frames.notes().items() if "times" in note}
    jobs = [(listed, folder / listed.file, *settings) for listed in videos if listed.name not in notes]
    with command.progress(len(videos), "video", len(notes)) as progress:
        for job, (note, entries) in zip(jobs, workers.in_order(executor, decode, jobs, ahead, given_up)):
            frames.put(entries, job[0].name, note)
            notes[job[0].name] = note
            progress.update()
    good = [listed for listed in videos if "times" in notes[listed.name]]
    skipped = [{"video": listed.name, "reason": notes[listed.name]["reason"]}
               for listed in videos if "reason" in notes[listed.name]]
    if not good:
        frames.discard()
        first = skipped[0]
        raise InputError(f"none of {len(videos)} videos gives frames; the first, {first['video']}: {first['reason']}")
    entries = [{"name": listed.name, "label": listed.label, "frames": len(notes[listed.name]["times"]),
                "times": notes[listed.name]["times"], **_clipped([notes[listed.name]])} for listed in good]
    return frames.finish(
        counts={"videos": len(entries), "frames": sum(entry["frames"] for entry in entries), "skipped": len(skipped)},
        skipped=skipped,
        **_clipped([notes[listed.name] for listed in good]),
        warnings=[{"video": listed.name, "reason": text} for listed in good for text in notes[listed.name]["warnings"]],
        videos=entries)


def _clipped(notes):
    """Return {"clipped": share of the pixels of some videos' flow that was clipped}, {} for images."""
    if "clipped" not in notes[0]:
        return {}
    frames = sum(len(note["times"]) for note in notes)
    return {"clipped": round(sum(note["clipped"] * len(note["times"]) for note in notes) / frames, 6)}


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--videos", required=True, help="folder that holds the class folders")
    parser.add_argument("--list", required=True, nargs="+", help="trainlistNN.txt and testlistNN.txt, one or more")
    parser.add_argument("--classes", required=True, help="classInd.txt")
    parser.add_argument("--fps", type=command.positive_real, default=5.0, help="frames a second")
    parser.add_argument("--size", type=command.positive, default=256, help="height and width of the frames, pixels")
    parser.add_argument("--quality", type=int, choices=range(1, 101), metavar="1..100", default=95, help="JPEG quality")
    parser.add_argument("--flow", choices=flow.METHODS, help="store optical flow by this method (default: images)")
    parser.add_argument("--flow-between", choices=flow_frames.BETWEEN, default="neighbours",
                        help="from each frame to the next of the video, or to the next at FPS")
    parser.add_argument("--flow-bound", type=command.positive_real, default=flow.BOUND,
                        help="largest motion that 8 bits hold, pixels of the resized frame")
    parser.add_argument("--out", required=True, help="the LMDB to make, a folder")
    parser.add_argument("--workers", type=command.positive, default=workers.cores(), help="processes that decode")
    parser.add_argument("--dask", metavar="ADDRESS", help="of a dask scheduler, whose workers decode instead")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a video was skipped")
    parser.add_argument("--force", action="store_true", help="replace an OUT that was made with other settings")
    args = parser.parse_args()
    classes = lists.read_classes(args.classes)
    videos = sorted(lists.read_lists(args.list, classes), key=lambda listed: records.key_order(listed.name))
    folder = lists.check_files(videos, args.videos)
    recipe = {"lists": records.sources(args.list), "classes": classes, "fps": args.fps, "fps_rule": video.RATE_RULE,
              "size": args.size, "resize": video.RESIZE_RULE, "quality": args.quality, "decoder": video.DECODER}
    settings = flow_frames.recipe(args.flow, args.flow_between, args.flow_bound) if args.flow else None
    if settings:
        recipe["flow"] = settings
    manifest = finished(args.out, "frames", recipe, args.force)
    if manifest:
        print(f"{args.out} is there already, made with these settings")
    else:
        with Build(args.out, "frames", recipe, command.tell) as frames, \
                (workers.cluster(args.dask) if args.dask else workers.Pool(args.workers)) as executor:
            settings = args.fps, args.size, args.quality, settings
            manifest = store(frames, videos, folder.resolve(), settings, executor, 2 * executor.workers)
    return report(args.out, manifest, args.strict)


def report(out, manifest, strict):
    """Print what the LMDB holds and lacks; return the exit status."""
    for entry in manifest["warnings"]:
        command.tell(f"{entry['video']}: {entry['reason']}")
    for entry in manifest["skipped"]:
        command.tell(f"skipped {entry['video']}: {entry['reason']}")
    counts = manifest["counts"]
    if "clipped" in manifest:
        print(f"{100 * manifest['clipped']:.2f} % of the pixels move by more than "
              f"{manifest['recipe']['flow']['bound']:g} pixels and were clipped")
    print(f"{out}: {counts['frames']} frames of {counts['videos']} videos; {counts['skipped']} videos skipped")
    return 1 if strict and counts["skipped"] else 0
