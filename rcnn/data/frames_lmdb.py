"""Building a frames LMDB: what a worker does for a video, and how its frames and the manifest are stored."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import cv2
import numpy as np

from rcnn.data import decoding, flow_frames, records, video, workers
from rcnn.data.builds import Build
from rcnn.data.lists import NO_FILE, Video
from rcnn.files import InputError

Note = dict[str, Any]


class Settings(NamedTuple):
    """What decides a video's frames.

    fps: frames a second.  size: side in pixels.  quality: of the JPEGs, 1 to 100.  flow: of `flow_frames.recipe`, None
    for images.
    """

    fps: float = 5.0
    size: int = 256
    quality: int = 95
    flow: Optional[dict[str, Any]] = None


class Job(NamedTuple):
    """One video to decode: its line of the list, the path of its file, and the Settings."""

    listed: Video
    path: Path
    settings: Settings


def recipe(
    list_paths: Sequence[str],
    classes: Sequence[str],
    settings: Settings,
    chosen: Optional[Sequence[str]] = None,
    missing: Sequence[Video] = (),
) -> dict[str, Any]:
    """Return everything that decides the content of the LMDB, fit for JSON, as its manifest has it.

    Parameters
    ----------
    classes, chosen : as `lists.read_list` takes them; what was not chosen is told apart under class_list
    missing : listed videos that are left out, as they have no file
    """
    chosen = classes if chosen is None else chosen
    made_of = {
        "lists": records.sources(list_paths),
        "classes": chosen,
        **({"class_list": classes} if chosen != classes else {}),
        **({"missing": [listed.name for listed in missing]} if missing else {}),
        "fps": settings.fps,
        "fps_rule": video.RATE_RULE,
        "size": settings.size,
        "resize": video.RESIZE_RULE,
        "quality": settings.quality,
        "decoder": decoding.DECODER,
    }
    return {**made_of, "flow": settings.flow} if settings.flow else made_of


def decode(job: Job) -> tuple[Note, list[tuple[bytes, bytes]]]:
    """Decode a video; runs in a worker process.

    Returns
    -------
    note : dict
        label, times (seconds) and warnings, and of flow the share of pixels clipped; or only the reason for which the
        video is skipped.
    entries : list of (key, record)
    """
    fps, _, quality, flow_recipe = job.settings
    times: list[float] = []
    warnings: list[str] = []
    entries, clipped = [], []
    try:
        for time, frame, share in _sample(job, warnings):
            key = records.frame_key(job.listed.name, len(times))
            entries.append((key, records.encode_frame(frame, job.listed.label, quality)))
            times.append(round(time, 6))
            clipped.append(share)
    except (decoding.VideoError, cv2.error) as error:
        return {"reason": " ".join(str(error).split())}, []
    if len(times) < 2:
        reason = f"a single frame at {fps:g} frames a second, and a pair needs two"
        return {"reason": "; ".join([reason, *warnings])}, []
    note = {"label": job.listed.label, "times": times, "warnings": warnings}
    return {**note, "clipped": sum(clipped) / len(times)} if flow_recipe else note, entries


def _sample(job: Job, warnings: list[str]) -> Iterator[tuple[float, np.ndarray, float]]:
    """Yield (time, frame, share of pixels clipped) of a job's video."""
    fps, size, _, flow_recipe = job.settings
    if flow_recipe:
        yield from flow_frames.sample(job.path, fps, size, flow_recipe, warnings)
    else:
        for time, image in video.sample(job.path, fps, warnings):
            yield time, video.resize(image, size), 0.0


def given_up(job: Job) -> tuple[Note, list]:
    """Return what stands for `decode` of a video that kills its worker process."""
    return {"reason": f"it killed its worker process {workers.TRIES} times, by a crash or for want of memory"}, []


def store(
    build: Build,
    videos: Sequence[Video],
    folder: Path,
    settings: Settings,
    executor: Executor,
    ahead: int,
    progress: Callable,
    missing: Sequence[Video] = (),
) -> dict[str, Any]:
    """Store the frames of videos that a build lacks, and finish it.

    Parameters
    ----------
    videos : those of the LMDB, in the order of `records.key_order`
    folder : that holds the class folders
    executor : as of `workers.in_order`
    ahead : how many videos may be under way
    progress : as `command.progress`, called with the number of videos, "video" and the number of those that are there
    missing : listed videos that have no file; the manifest names them among the skipped

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If no video gives frames; nothing of the build is left then.
    """
    notes = {name: note for name, note in build.notes().items() if "times" in note}
    jobs = [Job(listed, folder / listed.file, settings) for listed in videos if listed.name not in notes]
    with progress(len(videos), "video", len(notes)) as bar:
        for job, (note, entries) in zip(jobs, workers.in_order(executor, decode, jobs, ahead, given_up)):
            build.put(entries, job.listed.name, note)
            notes[job.listed.name] = note
            bar.update()
    good = [(name, notes[name]) for name, *_ in videos if "times" in notes[name]]
    skipped = [{"video": name, "reason": notes[name]["reason"]} for name, *_ in videos if "reason" in notes[name]]
    if not good:
        build.discard()
        first = skipped[0]
        raise InputError(f"none of {len(videos)} videos gives frames; the first, {first['video']}: {first['reason']}")
    entries = [
        {"name": name, "label": note["label"], "frames": len(note["times"]), "times": note["times"], **_clipped([note])}
        for name, note in good
    ]
    return build.finish(
        counts={
            "videos": len(entries),
            "frames": sum(entry["frames"] for entry in entries),
            "skipped": len(skipped),
            **({"missing": len(missing)} if missing else {}),
        },
        skipped=skipped + [{"video": listed.name, "reason": NO_FILE} for listed in missing],
        **_clipped([note for _, note in good]),
        warnings=[{"video": name, "reason": text} for name, note in good for text in note["warnings"]],
        videos=entries,
    )


def _clipped(notes: Sequence[Note]) -> dict[str, float]:
    """Return {"clipped": share of the pixels of some videos' flow that was clipped}, {} for images."""
    if "clipped" not in notes[0]:
        return {}
    frames = sum(len(note["times"]) for note in notes)
    return {"clipped": round(sum(note["clipped"] * len(note["times"]) for note in notes) / frames, 6)}
