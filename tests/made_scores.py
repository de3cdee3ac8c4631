"""Random scores of videos, and files of them."""

import numpy as np

from rcnn.scoring.score_writing import writing

CLASSES = ["Up", "Down", "Épée"]


def softmax(generator, *shape):
    values = np.exp(generator.normal(size=shape)).astype(np.float32)
    return values / values.sum(axis=-1, keepdims=True)


def made_videos():
    """Return [(name, label, scores)] of three videos, of five crops and two signals."""
    generator = np.random.default_rng(1)
    return [(f"v_{index}", index % 3, softmax(generator, frames, 5, 2, 3)) for index, frames in enumerate((3, 1, 90))]


def listed(videos):
    return [(name, label, np.arange(len(values)) / 5) for name, label, values in videos]


def begin(path, videos, crops=5, signals=("medium", "high"), classes=CLASSES, **attributes):
    """Return the context manager that gives the Writer of a file of these videos."""
    return writing(path, listed(videos), crops, signals, classes, attributes)


def write(path, videos, *settings, **attributes):
    """Write the videos, as far as they are not done, each in two blocks; return the path; the rest as of `begin`."""
    with begin(path, videos, *settings, **attributes) as writer:
        fill(writer, videos)
    return path


def fill(writer, videos):
    for index in set(range(len(videos))) - writer.done:
        for block in np.array_split(videos[index][2], min(2, max(1, len(videos[index][2])))):
            writer.add(index, block)
