"""Files of per-frame scores of test videos, HDF5, from which accuracy is computed without the net.

The file is HDF5; its rows are frames, those of a video together, in order of time:

    scores   float32  frames x crops x signals x classes   softmax probabilities
    first    int64    videos + 1    video i has the rows first[i] up to first[i + 1] (that one not included)
    times    float64  frames        seconds from the start of the frame's video
    labels   int64    videos        0-based class
    names    text     videos        names without folder and suffix
    signals  text     signals       "low", "medium", "high" or fewer, in this order
    classes  text     classes

Attributes of the file say what made it.
"""
import io
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from rcnn.files import InputError, replacing
from rcnn.scores import average_crops, fuse

ROWS = 64  # frames a chunk of the file


class _Disk(io.FileIO):
    """A file that keeps its first error of writing for later, and writes nothing after it.

    HDF5 cannot close its objects once a write has failed, and prints a traceback for each.
    """
    error = None

    def write(self, data):
        rest = memoryview(data).cast("B")
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest):]
            except OSError as error:
                self.error = error
        return len(data)

    def truncate(self, size=None):
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size

    def check(self):
        """Raise the error that was kept, if there is one."""
        if self.error:
            raise self.error


class Writer:
    """Takes the scores of one video after another; see `writing`."""

    def __init__(self, file, disk, crops, signals, classes):
        text = h5py.string_dtype()
        shape = (crops, len(signals), len(classes))
        self._file, self._disk = file, disk
        self._scores = file.create_dataset("scores", (0, *shape), np.float32, maxshape=(None, *shape),
                                           chunks=(ROWS, *shape))
        self._times = file.create_dataset("times", (0,), np.float64, maxshape=(None,))
        file.create_dataset("signals", data=list(signals), dtype=text)
        file.create_dataset("classes", data=list(classes), dtype=text)
        self._first, self._labels, self._names = [0], [], []

    def add(self, name, label, times, scores):
        """Append a video: its name, 0-based label, frame times (seconds) and frames x crops x signals x classes scores.

        Raises InputError where the shapes do not agree or a score is not finite.
        """
        scores = np.asarray(scores, np.float32)
        if scores.shape != (len(times), *self._scores.shape[1:]) or not len(times):
            raise InputError(f"scores of {name}: shape {scores.shape} for {len(times)} frames; "
                             f"expected frames x {self._scores.shape[1:]}")
        if not 0 <= label < scores.shape[-1]:
            raise InputError(f"scores of {name}: label {label}, but there are {scores.shape[-1]} classes")
        check_finite(scores, name)
        start, end = self._first[-1], self._first[-1] + len(times)
        self._scores.resize(end, axis=0)
        self._times.resize(end, axis=0)
        self._scores[start:end] = scores
        self._times[start:end] = times
        self._first.append(end)
        self._labels.append(label)
        self._names.append(name)
        self._disk.check()

    def close(self):
        """Write what is known only now, and close the file."""
        self._file.create_dataset("first", data=np.array(self._first, np.int64))
        self._file.create_dataset("labels", data=np.array(self._labels, np.int64))
        self._file.create_dataset("names", data=self._names, dtype=h5py.string_dtype())
        self._file.close()
        self._disk.check()


@contextmanager
def writing(path, crops, signals, classes, attributes):
    """Yield a Writer whose file takes its place at `path` when the block ends, and not at all if the block fails.

    crops: crops a frame.  signals, classes: names.  attributes: {name: text, number or array}, what made the scores.
    Raises InputError where the file cannot be written.
    """
    with replacing(path) as part, _Disk(part, "w+") as disk, h5py.File(disk, "w") as file:
        file.attrs.update(attributes)
        writer = Writer(file, disk, crops, signals, classes)
        yield writer
        writer.close()


class Scores:
    """A file of scores, open for reading; a context manager.  Only the videos asked for are read into memory."""

    def __init__(self, path):
        if not Path(path).is_file():
            raise InputError(f"scores: no such file: {path}")
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise InputError(f"scores: {path} is not an HDF5 file ({error})") from None
        missing = {"scores", "first", "times", "labels", "names", "signals", "classes"} - set(self._file)
        if missing:
            self._file.close()
            raise InputError(f"scores: {path} has no {', '.join(sorted(missing))}; make it with tools/evaluate.py")
        self.path = Path(path)
        self.first = self._file["first"][:]
        self.labels = self._file["labels"][:]
        self.names = self._text("names")
        self.signals = self._text("signals")
        self.classes = self._text("classes")
        self.attributes = dict(self._file.attrs)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def __len__(self):
        return len(self.names)

    def frames(self, index, signal):
        """Return the scores of video `index` by one signal, float32, frames x crops x classes."""
        if signal not in self.signals:
            raise InputError(f"scores: {self.path} has no signal {signal}; it has {', '.join(self.signals)}")
        rows = slice(self.first[index], self.first[index + 1])
        return self._file["scores"][rows, :, self.signals.index(signal), :]

    def times(self, index):
        """Return the frame times of video `index`, float64, in seconds."""
        return self._file["times"][self.first[index]:self.first[index + 1]]

    def videos(self, signal, fusion="log-mean"):
        """Return the fused scores of every video by one signal, float64, videos x classes."""
        return np.stack([fuse(average_crops(self.frames(index, signal)), fusion) for index in range(len(self))])

    def _text(self, name):
        return [text.decode() for text in self._file[name][:]]


def check_finite(scores, name):
    """Raise InputError naming video and frame (counted from 1) if a score of frames x ... is NaN or infinite."""
    bad = ~np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
    if bad.any():
        raise InputError(f"video {name}, frame {int(bad.argmax()) + 1} of {len(scores)}: the scores are not finite; "
                         "the weights are from a training that diverged, or --scale is not the training's")
