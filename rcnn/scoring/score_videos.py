"""Scores of the frames of videos by a network, whatever runs it (Sec. 2.4, 3.2); written to a file of scores."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any, Callable, Optional

import numpy as np

from rcnn.command import progress
from rcnn.data.crops import MEANS, network_input, oversample
from rcnn.data.lists import Video
from rcnn.data.records import Records
from rcnn.files import InputError, PathLike
from rcnn.nets.network import Network, checked_mode
from rcnn.scoring import probe, score_writing


def score_videos(
    network: Network,
    videos: Sequence[int],
    read: Callable[[int, int], np.ndarray],
    crops: int,
    batch: int,
    mean: Optional[Sequence[float]] = None,
    scale: float = 1.0,
    mode: Optional[str] = None,
    shown: Optional[probe.Shown] = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (video, scores) until all frames are scored; scores: float32, frames x crops x signals x classes.

    The blocks of a video come in the order of its frames; those of several videos may alternate.  The pair of a video
    of one frame is that frame twice, of which only the score at t = 1 is used.

    Parameters
    ----------
    videos
        The number of frames of each, at least 1.
    read
        read(video, frame) returns a frame, uint8 H x W x 3 BGR or H x W x 2 flow, both counted from 0; frames are asked
        for once each, in order within a video.
    crops
        How many a frame, of `crops.PROTOCOLS`.
    batch
        Crops a forward pass, at least those of one frame; it bounds the memory, whatever the videos' lengths.
    mean
        Of the input, as in training; None for that of `crops.MEANS`.
    mode
        "frame", each by itself; "pair", frame t is scored from frames t - 1 and t, and a video's first frame as Eq. 3
        does at t = 1; "recurrent", with v^{t-1} of all frames before; None: what the net is.  A net of kind "recurrent"
        knows "pair" too.
    shown
        For mode "pair": shown(video, t) returns what frame t is scored with in place of frame t - 1, None for nothing,
        Eq. 3 at t = 1.  Only the frames of `probe.kept` are scored then.  None: frame t - 1.
    """
    mode = checked_mode(mode, network.kind)
    frames = max(1, batch // crops)
    mean = MEANS[network.channels] if mean is None else mean

    def prepared(image):
        return network_input(oversample(image, network.size, crops), mean, scale)

    def views(video, index):
        return prepared(read(video, index))

    if mode == "recurrent":
        return _in_order(network, videos, views, crops, frames)
    if mode == "frame":
        jobs = _frames(videos, views)
    else:
        jobs = _pairs(videos, views) if shown is None else _probed(videos, views, shown, prepared)
    return _apart(network, jobs, crops, frames, mode)


def write_scores(
    path: PathLike,
    network: Network,
    frames: Records,
    videos: Sequence[tuple[Video, Sequence[float]]],
    classes: Sequence[str],
    attributes: dict[str, Any],
    batch: int,
    force: bool = False,
) -> bool:
    """Score videos of a frames LMDB into a file of scores; what an interrupted run finished is kept.

    Parameters
    ----------
    videos
        (video, seconds of its frames), as `sequences.videos_with_frames` returns them.
    attributes
        What makes the scores, for the file; "crops", "mean", "input_scale" and "mode" are what `score_videos` takes.
        With "previous", of `probe.PREVIOUS`, and "seed" for that of another class, they are those of the motion probe.
    batch
        As of `score_videos`.
    force
        Replace a finished file, whatever it holds.

    Returns
    -------
    bool
        False where a file made with the same settings was there already.

    Raises
    ------
    InputError
        Where a file, finished or not, of other videos or attributes is there, and where a probe does not go with the
        mode, or there is nothing to show.
    """
    previous, shown = attributes.get("previous"), None
    if previous:
        if attributes["mode"] != "pair":
            raise InputError(
                f"--previous: it shows one frame, as --mode pair does; leave out --mode {attributes['mode']}"
            )
        videos = probe.long_enough(videos, frames.path)
    scored = [probe.kept(times) if previous else times for _, times in videos]
    listed = [(video.name, video.label, times) for (video, _), times in zip(videos, scored)]
    counts = [len(times) for times in scored]
    run = path, listed, attributes["crops"], network.signals, classes, attributes
    if not force and score_writing.finished(*run):
        return False
    if previous:
        shown = probe.reader(previous, frames, videos, attributes.get("seed", 0))
    with (
        score_writing.writing(*run) as writer,
        progress(sum(counts), "frame", sum(counts[index] for index in writer.done)) as bar,
    ):
        left = [index for index in range(len(videos)) if index not in writer.done]

        def read(video, index):
            bar.update()
            return frames.frame(listed[left[video]][0], index)[0]

        def instead(video, index):
            return shown(left[video], index)

        crops, mean, scale, mode = (attributes[name] for name in ("crops", "mean", "input_scale", "mode"))
        lengths = [len(videos[index][1]) for index in left]
        settings = crops, batch, mean, scale, mode, instead if previous else None
        for video, block in score_videos(network, lengths, read, *settings):
            writer.add(left[video], block)
    return True


def _apart(network, jobs, crops, frames, mode):
    """Yield the scores of frames by themselves or in pairs, `frames` of them a pass."""
    while chunk := list(islice(jobs, frames)):
        inputs = np.concatenate([job[2] for job in chunk])
        if mode == "pair":
            scored = network.forward_pair(inputs, np.concatenate([job[3] for job in chunk]))
        else:
            scored = network.forward(inputs), None
        now, before = (part if part is None else part.reshape(len(chunk), crops, *part.shape[1:]) for part in scored)
        for video, places in groupby(range(len(chunk)), key=lambda place: chunk[place][0]):
            rows = []
            for place in places:
                rows += [before[place]] if chunk[place][1] in ("before", "both") else []
                rows += [now[place]] if chunk[place][1] in ("now", "both") else []
            yield video, np.stack(rows)


def _frames(videos, views):
    """Yield (video, which scores count, the frame's crops, None)."""
    for video, count in enumerate(videos):
        for index in range(count):
            yield video, "now", views(video, index), None


def _pairs(videos, views):
    """Yield (video, which of the pair's scores count, crops of frame t, crops of frame t - 1)."""
    for video, count in enumerate(videos):
        before = views(video, 0)
        if count == 1:
            yield video, "before", before, before
        for index in range(1, count):
            now = views(video, index)
            yield video, "both" if index == 1 else "now", now, before
            before = now


def _probed(videos, views, shown, prepared):
    """Yield what `_pairs` does with what `shown` gives in place of frame t - 1."""
    for video, count in enumerate(videos):
        for index in probe.kept(range(count)):
            now, before = views(video, index), shown(video, index)
            if before is None:
                yield video, "before", now, now
            else:
                yield video, "now", now, prepared(before)


def _in_order(network, videos, views, crops, streams):
    """Yield the scores of videos fed in order, `streams` of them side by side; each takes the next when one is over."""
    streams = min(streams, len(videos))
    waiting = iter(range(len(videos)))
    playing = [(next(waiting), 0) for _ in range(streams)]
    inputs = np.zeros((streams, crops, network.channels, network.size, network.size), np.float32)
    while any(place is not None for place in playing):
        for row, place in enumerate(playing):
            if place is not None:
                inputs[row] = views(*place)
        first = np.repeat([place is None or place[1] == 0 for place in playing], crops)
        scored = network.forward(inputs.reshape(-1, *inputs.shape[2:]), first=first)
        for row, place in enumerate(playing):
            if place is None:
                continue
            video, index = place
            yield video, scored[row * crops : (row + 1) * crops][np.newaxis]
            if index + 1 < videos[video]:
                playing[row] = video, index + 1
            else:
                video = next(waiting, None)
                playing[row] = None if video is None else (video, 0)
