"""Files of per-frame scores of test videos, HDF5: written once, from them every fusion is computed without the net.

The file's rows are frames, those of a video together, in order of time:

    scores   float32  frames x crops x signals x classes   softmax probabilities
    first    int64    videos + 1    video i has the rows first[i] up to first[i + 1] (that one not included)
    times    float64  frames        seconds from the start of the frame's video
    labels   int64    videos        0-based class
    names    text     videos        names without folder and suffix, each once
    signals  text     signals       "low", "medium", "high" or fewer, in this order
    classes  text     classes

Attributes of the file say what made it.

`rcnn.scoring.score_writing` writes them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import h5py
import numpy as np

from rcnn.files import InputError, PathLike, existing
from rcnn.googlenet import SIGNALS
from rcnn.scoring.scores import FUSIONS, average_crops, average_pairs, average_signals, fuse, fuse_streams

ALL = "all"  # instead of a signal: the three of them, averaged
BLOCK = 64  # frames that are read or copied at a time
PARTS = {
    "scores": (4, "f"),
    "first": (1, "i"),
    "times": (1, "f"),
    "labels": (1, "i"),
    "names": (1, "O"),
    "signals": (1, "O"),
    "classes": (1, "O"),
}  # dataset: dimensions, kind of its dtype


class Scores:
    """A file of scores, open for reading; a context manager.  Only what is asked for is read into memory.

    Attributes
    ----------
    names, labels
        Of the videos; labels are 0-based, int64.
    signals, classes
        Names.
    crops
        How many a frame.
    first
        Rows of the videos, as described above.
    attributes
        Dict of what made the scores.

    Raises
    ------
    InputError
        Where the file is not whole, or not a file of scores.
    """

    def __init__(self, path: PathLike) -> None:
        try:
            self._file = h5py.File(existing(path, "scores"), "r")
        except OSError as error:
            raise InputError(
                f"scores: {path} is cut short or not an HDF5 file ({_line(error)}); make it with tools/evaluate.py"
            ) from None
        self.path = Path(path)
        try:
            self._read()
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            self._file.close()
            raise InputError(f"scores: {path} is damaged ({_line(error)}); make it with tools/evaluate.py") from None
        except InputError:
            self._file.close()
            raise

    def _read(self):
        missing = sorted(set(PARTS) - set(self._file))
        if missing:
            raise InputError(f"scores: {self.path} has no {', '.join(missing)}; make it with tools/evaluate.py")
        for name, (dimensions, kind) in PARTS.items():
            part = self._file[name]
            if not isinstance(part, h5py.Dataset) or part.ndim != dimensions or part.dtype.kind != kind:
                raise ValueError(f"{name} has not the form that rcnn/scoring/score_files.py describes")
        self.first, self.labels = self._file["first"][:], self._file["labels"][:]
        self.names, self.signals, self.classes = (
            self._file[name].asstr()[:].tolist() for name in ("names", "signals", "classes")
        )
        self.attributes = dict(self._file.attrs)
        rows, self.crops, *rest = self._file["scores"].shape
        checks = {
            "scores": self.crops and rest == [len(self.signals), len(self.classes)],
            "times": len(self._file["times"]) == rows,
            "names": 0 < len(self) == len(set(self.names)),
            "first": len(self.first) == len(self) + 1
            and (self.first[0], self.first[-1]) == (0, rows)
            and (np.diff(self.first) > 0).all(),
            "labels": len(self.labels) == len(self)
            and (0 <= self.labels).all()
            and (self.labels < len(self.classes)).all(),
        }
        wrong = [name for name, right in checks.items() if not right]
        if wrong:
            raise ValueError(f"its {wrong[0]} disagree with the rest")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def __len__(self):
        return len(self.names)

    def frames(self, index: int, signal: str) -> np.ndarray:
        """Return the scores of video `index` by one signal, float32, frames x crops x classes."""
        return self._file["scores"][self.first[index] : self.first[index + 1], :, self._places(signal)[0], :]

    def times(self, index: int) -> np.ndarray:
        """Return the frame times of video `index`, float64, in seconds."""
        return self._file["times"][self.first[index] : self.first[index + 1]]

    def averaged(self, index: int, signal: str = "high", crops: Optional[int] = None) -> np.ndarray:
        """Return the scores of video `index` averaged over crops and signals, float64, frames x classes.

        Parameters
        ----------
        signal
            One signal, or "all", the three.
        crops
            How many, the first of the file's (None: all of them).

        Raises
        ------
        InputError
            Where the file lacks a signal or has fewer crops.
        """
        places = self._places(signal)
        if crops is not None and crops > self.crops:
            raise InputError(f"scores: {self.path} has {self.crops} crops a frame, {crops} are asked for")
        parts = []
        for start in range(self.first[index], self.first[index + 1], BLOCK):
            rows = self._file["scores"][start : min(start + BLOCK, self.first[index + 1])]
            parts.append(average_signals(average_crops(rows[:, :, places], crops)))
        return np.concatenate(parts)

    def pair_times(self, index: int) -> np.ndarray:
        """Return the times at t of the pairs of frames t - 1 and t of video `index`, float64, in seconds.

        Those are its frames but for the first; a video of one frame has no pair, and that frame stands for one.
        """
        times = self.times(index)
        return times if self._probed or len(times) == 1 else times[1:]

    def pairs(self, index: int, signal: str = "high", crops: Optional[int] = None, averaged: int = 1) -> np.ndarray:
        """Return the scores of the pairs of video `index` (`pair_times`), float64, pairs x classes.

        Parameters
        ----------
        signal, crops
            As for `averaged`.
        averaged
            1 for the score at t; 2 for the log-mean of those at t - 1 and t, so that what scores single frames sees
            the same pictures as what scores pairs.

        Raises
        ------
        InputError
            Where scores at t - 1 are lacking, as in a file that `evaluate.py --previous` made.
        """
        if averaged == 2 and self._probed:
            raise InputError(
                f"scores: {self.path} was made with --previous and lacks first frames, so pairs of it cannot be "
                "averaged; give scores made without"
            )
        scores = self.averaged(index, signal, crops)
        return average_pairs(scores) if averaged == 2 else scores[-len(self.pair_times(index)) :]

    @property
    def _probed(self):
        """Whether the scores are the motion probe's, which leaves out first frames."""
        return "previous" in self.attributes

    def fused(
        self,
        signal: str = "high",
        fusions: Sequence[str] = FUSIONS,
        crops: Optional[int] = None,
        averaged: Optional[int] = None,
    ) -> dict[str, np.ndarray]:
        """Return {fusion: scores of every video, float64, videos x classes}; signal and crops as for `averaged`.

        averaged: as for `pairs`, whose scores are fused then; None: those of all frames, the first ones too.
        """
        rows: dict[str, list[np.ndarray]] = {fusion: [] for fusion in fusions}
        for index in range(len(self)):
            if averaged is None:
                frames = self.averaged(index, signal, crops)
            else:
                frames = self.pairs(index, signal, crops, averaged)
            for fusion in fusions:
                rows[fusion].append(fuse(frames, fusion))
        return {fusion: np.stack(videos) for fusion, videos in rows.items()}

    def videos(self, signal: str = "high", fusion: str = "log-mean", crops: Optional[int] = None) -> np.ndarray:
        """Return the scores of every video by one fusion, float64, videos x classes; the rest as for `averaged`."""
        return self.fused(signal, (fusion,), crops)[fusion]

    def _places(self, signal):
        names = SIGNALS if signal == ALL else [signal]
        for name in names:
            if name not in self.signals:
                raise InputError(f"scores: {self.path} has no signal {name}; it has {', '.join(self.signals)}")
        return [self.signals.index(name) for name in names]


def matched(one: Scores, two: Scores, more: bool = False) -> np.ndarray:
    """Return for each video of the Scores `one` its index in the Scores `two`, int64; the order may differ.

    more: `two` may have other videos beside them.

    Raises InputError, naming the first that differs, unless both have the same classes, and the same videos with the
    same labels.
    """
    for number, names in enumerate(zip(one.classes, two.classes), 1):
        if len(set(names)) == 2:
            raise InputError(f"class {number} is {names[0]} in {one.path}, but {names[1]} in {two.path}")
    if len(one.classes) != len(two.classes):
        raise InputError(f"{one.path} has {len(one.classes)} classes, but {two.path} {len(two.classes)}")
    places = {name: index for index, name in enumerate(two.names)}
    for file, other in ((one, two),) if more else ((one, two), (two, one)):
        others = set(other.names)
        for name in file.names:
            if name not in others:
                raise InputError(
                    f"video {name} is in {file.path}, but not in {other.path}; only scores of the same "
                    "videos can be fused"
                )
    for name, label in zip(one.names, one.labels):
        if label != two.labels[places[name]]:
            raise InputError(
                f"video {name} is of class {one.classes[label]} in {one.path}, but of "
                f"{two.classes[two.labels[places[name]]]} in {two.path}"
            )
    return np.array([places[name] for name in one.names], np.int64)


def fuse_files(
    files: Sequence[Scores],
    signal: str = "high",
    fusions: Sequence[str] = FUSIONS,
    crops: Optional[int] = None,
    weight: Optional[float] = None,
    averaged: Optional[int] = None,
) -> dict[str, np.ndarray]:
    """Return {fusion: scores of every video, float64, videos x classes} of one file, or of two by `fuse_streams`.

    Parameters
    ----------
    files
        The order of the videos is that of the first.
    signal, fusions, crops, averaged
        As for `Scores.fused`.
    weight
        Of the first of two files, 0 to 1; None for 0.5.

    Raises
    ------
    InputError
        As `matched` does, and where a file lacks a signal, or crops.
    """
    order = matched(files[0], files[1]) if len(files) == 2 else None
    fused = [file.fused(signal, fusions, crops, averaged) for file in files]
    if order is None:
        return fused[0]
    share = 0.5 if weight is None else weight
    return {how: fuse_streams(fused[0][how], fused[1][how][order], share, how) for how in fusions}


def check_finite(scores: np.ndarray, name: str, before: int = 0, total: Optional[int] = None) -> None:
    """Raise InputError naming video and frame (counted from 1) if a score of frames x ... is NaN or infinite.

    Parameters
    ----------
    before
        Frames of the video that came before these.
    total
        How many it has (None: these are all).
    """
    bad = ~np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
    if bad.any():
        raise InputError(
            f"video {name}, frame {before + int(bad.argmax()) + 1} of {total or len(scores)}: the scores "
            "are not finite; the weights are from a training that diverged, or --scale is not the "
            "training's"
        )


def _line(error):
    return " ".join(str(error).split())
