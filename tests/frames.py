"""Frames LMDBs without loss, whose pixels say which frame of which video they are and where they stand in it."""

import cv2
import numpy as np

from rcnn.data import records
from rcnn.data.builds import Build


def image(video, t, side=12):
    """Return uint8 side x side x 3, BGR: 10 x row, 10 x column, 16 x video + t; side at most 25, t at most 15."""
    rows, columns = np.mgrid[:side, :side]
    return np.stack([10 * rows, 10 * columns, np.full_like(rows, 16 * video + t)], axis=2).astype(np.uint8)


def record(picture, label):
    """Return a frame's record with a PNG where there usually is a JPEG; of two channels, x stands above y, grey."""
    channels = 3
    if picture.shape[2] == 2:
        channels, picture = 1, np.concatenate([picture[..., 0], picture[..., 1]])
    data = cv2.imencode(".png", picture)[1].tobytes()
    return records.Datum(
        channels=channels, height=picture.shape[0], width=picture.shape[1], label=label, encoded=True, data=data
    ).SerializeToString()


def write(path, videos, classes, side=12, lacking=(), channels=3):
    """Build a frames LMDB and its list, `path` with .txt for its suffix.

    videos: {name: (label, number of frames)}, video i of them with frames `image(i, t)`; those with no frames are
    skipped.  lacking: what the manifest's recipe does not say.  channels: 2 for flow, the first two of `image`.
    """
    recipe = {"classes": classes, "size": side, "fps": 5.0, **({"flow": {"bound": 20.0}} if channels == 2 else {})}
    good = {name: video for name, video in videos.items() if video[1]}
    with Build(path, "frames", {key: recipe[key] for key in set(recipe) - set(lacking)}, print) as build:
        for number, (name, (label, count)) in enumerate(videos.items()):
            build.put(
                (records.frame_key(name, t), record(image(number, t, side)[..., :channels], label))
                for t in range(count)
            )
        build.finish(
            counts={"videos": len(good), "frames": sum(count for _, count in videos.values())},
            skipped=[{"video": name, "reason": "broken"} for name in videos if name not in good],
            videos=[
                {"name": name, "label": label, "frames": count, "times": [t / 5 for t in range(count)]}
                for name, (label, count) in good.items()
            ],
        )
    lines = [f"{classes[label]}/{name}.avi\n" for name, (label, _) in videos.items()]
    path.with_suffix(".txt").write_text("".join(lines))
    return path
