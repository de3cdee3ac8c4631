"""The batches that PyTorch trains on: pairs out of an LMDB for RCNN-r and the CNN, frames in order for RCNN-s.

Both cut and mirror as the layers of Caffe's nets do (layers/pair_augment.py, layers/sequential_frames.py), draw the
same crops from the same seed in the same order, and go on after any batch from its number and its state.  With several
processes each decodes its share of every batch's rows; all draw the crops of all rows, by which they know the same
random numbers.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, Optional

import numpy as np
import torch

from rcnn.data import crops, records, sequences
from rcnn.data.sampling import sequences as time_steps
from rcnn.data.workers import cores
from rcnn.files import InputError, PathLike
from rcnn.recipe import Recipe

AHEAD = 2  # batches made while the net computes


class Batch(NamedTuple):
    """Rows of a batch, those of one process.

    Attributes
    ----------
    frames, previous
        float32 rows x channels x size x size; previous is None where frames come in order.
    labels
        int64 rows.
    first
        bool rows, true where a frame is its video's first; None where there are pairs.
    state
        Of the crops' random numbers after the batch, JSON.
    """

    frames: torch.Tensor
    labels: torch.Tensor
    previous: Optional[torch.Tensor]
    first: Optional[torch.Tensor]
    state: str


class Batches:
    """What `Pairs` and `Sequences` share: an LMDB, the crops' random numbers, threads; a context manager.

    Attributes
    ----------
    records
        The open LMDB.
    in_order
        Whether a batch's frames follow those of the batch before.
    """

    records: records.Records
    in_order = False
    _sides: tuple[int, int, int]

    def __init__(self, recipe: Recipe, generator: np.random.Generator, rank: int, world: int) -> None:
        self._data, self._size, self._mean = recipe.data, recipe.model.size, recipe.mean(crops.MEANS)
        self._rows, self._generator = range(rank, recipe.data.batch, world), generator
        self._corners = recipe.data.crop == "corners"
        self._decoders, self._maker = ThreadPoolExecutor(cores()), ThreadPoolExecutor(1)
        if not self._rows:
            raise InputError(f"batch: {recipe.data.batch} is smaller than the number of processes, {world}")

    def __enter__(self):
        return self

    def __exit__(self, *_: Any) -> None:
        for pool in (self._maker, self._decoders):
            pool.shutdown(cancel_futures=True)
        del self.records  # closes where nobody else reads it

    def batches(self, start: int, state: Optional[str] = None) -> Iterator[Batch]:
        """Yield batches for ever.

        Parameters
        ----------
        start
            Number of the first batch, counted from 0.
        state
            That the batch before came with, to go on after it.
        """
        if state:
            self._restore(state)
        steps = self._steps(start)
        ready = [self._maker.submit(self._batch, steps) for _ in range(AHEAD)]
        while True:
            yield ready.pop(0).result()
            ready.append(self._maker.submit(self._batch, steps))

    def _steps(self, start):
        raise NotImplementedError

    def _batch(self, steps):
        raise NotImplementedError

    def _state(self):
        return json.dumps(self._generator.bit_generator.state)

    def _restore(self, state):
        self._generator.bit_generator.state = json.loads(state)

    def _draw(self):
        return crops.draw(self._generator, *self._sides, self._corners)

    def _input(self, images):
        values = crops.network_input(np.stack(images), self._mean, self._data.scale)
        return torch.from_numpy(values).contiguous(memory_format=torch.channels_last)


class Pairs(Batches):
    """The batches of a pairs LMDB, the next ones in the order of its keys, as Caffe's Data layer takes them.

    Parameters
    ----------
    path
        A pairs LMDB.
    recipe
        Its model, data and seed count.
    rank, world
        This process's number and how many there are; each reads rows rank, rank + world, ... of a batch.

    Raises
    ------
    InputError
        Where the pairs are not the model's, or a process would have no row.
    """

    def __init__(self, path: PathLike, recipe: Recipe, rank: int = 0, world: int = 1):
        super().__init__(recipe, np.random.default_rng(recipe.solver.seed), rank, world)
        self.records = records.open_records(path, "pairs")
        self._keys = self.records.key_list()
        height, width, channels = records.decode_pair(self.records.get(self._keys[0]))[0].shape
        self._sides = height, width, self._size
        crops.positions(*self._sides)
        classes = len(self.records.manifest["recipe"].get("classes", []))
        if channels != recipe.model.channels:
            raise InputError(f"pairs: {path} has frames of {channels} channels, the net takes {recipe.model.channels}")
        if classes > recipe.model.classes:
            raise InputError(f"pairs: {path} has {classes} classes, the net {recipe.model.classes}")

    def _steps(self, start):
        batch, keys = self._data.batch, self._keys
        number = start * batch
        while True:
            yield [keys[(number + row) % len(keys)] for row in range(batch)]
            number += batch

    def _batch(self, steps):
        keys = next(steps)
        places = [[self._draw() for _ in range(2 - self._data.together)] for _ in keys]
        rows = [(self.records.get(keys[row]), places[row]) for row in self._rows]
        frames, previous, labels = zip(*self._decoders.map(self._row, rows))
        return Batch(self._input(frames), torch.tensor(labels), self._input(previous), None, self._state())

    def _row(self, row):
        record, places = row
        before, now, label = records.decode_pair(record)
        return crops.cut(now, places[0], self._size), crops.cut(before, places[-1], self._size), label


class Sequences(Batches):
    """The next frame of each of `batch` videos side by side, in the order that layers/sequential_frames.py has.

    Parameters
    ----------
    path
        A frames LMDB.
    list_path
        The videos, as UCF-101's trainlist01.txt.
    recipe, rank, world
        As of `Pairs`.

    Raises
    ------
    InputError
        Where the frames are not the model's or not the list's, or a process would have no row.
    """

    in_order = True

    def __init__(self, path: PathLike, list_path: PathLike, recipe: Recipe, rank: int = 0, world: int = 1):
        generator, self._order = sequences.draws(recipe.solver.seed)
        super().__init__(recipe, generator, rank, world)
        self.records = sequences.open_frames(path)
        videos, self.skipped = sequences.listed_videos(self.records, list_path)
        self._counts = {video.name: len(times) for video, times in videos}
        settings = self.records.manifest["recipe"]
        self._sides = settings["size"], settings["size"], self._size
        self._places = [crops.centre(*self._sides)] * recipe.data.batch
        if self.records.channels != recipe.model.channels:
            raise InputError(
                f"frames: {path} has frames of {self.records.channels} channels, the net takes {recipe.model.channels}"
            )
        if len(settings["classes"]) > recipe.model.classes:
            raise InputError(f"frames: {path} has {len(settings['classes'])} classes, the net {recipe.model.classes}")

    def _steps(self, start):
        return islice(time_steps(self._counts, self._data.batch, self._order), start, None)

    def _batch(self, steps):
        step = next(steps)
        for row, (_, _, first) in enumerate(step):
            if first:
                self._places[row] = self._draw()
        mine = [(self.records.get(records.frame_key(*step[row][:2])), self._places[row]) for row in self._rows]
        frames, labels = zip(*self._decoders.map(self._row, mine))
        first = torch.tensor([step[row][2] for row in self._rows])
        return Batch(self._input(frames), torch.tensor(labels), None, first, self._state())

    def _row(self, row):
        record, place = row
        image, label = records.decode_frame(record)
        return crops.cut(image, place, self._size), label

    def _state(self):
        return json.dumps({"generator": self._generator.bit_generator.state, "places": self._places})

    def _restore(self, state):
        saved = json.loads(state)
        self._generator.bit_generator.state = saved["generator"]
        self._places = [crops.Place(*place) for place in saved["places"]]
