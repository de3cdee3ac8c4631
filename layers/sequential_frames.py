"""Frames of several videos side by side, in order, with a mark on each video's first one (Sec. 2.3, Table 1)."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import caffe
import numpy as np
from pydantic import Field, PositiveInt

from layers.options import Blobs, CropOptions, printing_errors, read_options
from rcnn.data import crops, sequences
from rcnn.data.workers import cores
from rcnn.files import InputError


class SequenceOptions(CropOptions):
    """The param_str of SequentialFrames."""

    source: str = Field(min_length=1, description="the path of a frames LMDB")
    list: str = Field(min_length=1, description="the path of a list of videos")
    batch: PositiveInt = Field(description="the number of videos side by side")


class SequentialFrames(caffe.Layer):
    """Give the next frame of each of N videos; where one is over, the next video of the list takes its row.

    top[0]: N x 3 x size x size, (value - mean) * scale, BGR; N x 2 x size x size of an LMDB of flow.
    top[1]: N, 0-based class numbers.
    top[2]: N, 1 where the row's frame is the first of its video, else 0.

    Every video of the list comes once an epoch, in an order that is drawn anew for each: the lists go class by class,
    so that the streams would show a few classes at a time.  In training, crop and mirror are drawn once for a video; at
    test it is the centre and no mirror.  Videos that the LMDB's build had to skip are left out.

    param_str is JSON:
        source    frames LMDB (tools/build_frames.py), required
        list      the videos, as UCF-101's trainlist01.txt, required
        batch     N, required
        size      side of the crop in pixels, required
        mean      three numbers, BGR, or two for flow; default [104, 117, 123]
        scale     multiplies what is left after the mean; default 1
        crop      as of layers/pair_augment.py
        seed      of the videos' order and the crops; default a fresh one each run, and 0 at test

    layer {
      name: "frame" type: "Python" top: "frame" top: "label" top: "first"
      python_param { module: "layers.sequential_frames" layer: "SequentialFrames"
        param_str: '{"source": "frames.lmdb", "list": "trainlist01.txt", "batch": 64, "size": 224}' }
    }
    """

    @printing_errors()
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        options = read_options("SequentialFrames", self.param_str, SequenceOptions)
        if len(bottom) or len(top) != 3:
            raise InputError(
                "SequentialFrames takes no bottom and three tops, frame, label and first, not "
                f"{len(bottom)} and {len(top)}"
            )
        frames = sequences.open_frames(options.source)
        videos, skipped = sequences.listed_videos(frames, options.list)
        self.side, self.size = frames.manifest["recipe"]["size"], options.size
        self.corners = options.crop == "corners"
        if len(options.mean) != frames.channels:
            raise InputError(
                f"SequentialFrames: {options.source} has frames of {frames.channels} channels, and "
                f'"mean" {len(options.mean)} numbers; 3 are images, 2 are flow'
            )
        if skipped:
            print(
                f"{len(skipped)} of the {len(videos) + len(skipped)} videos of {options.list} are left out, as "
                f"{frames.path} has no frames of them; its manifest says why",
                file=sys.stderr,
                flush=True,
            )
        self.mean = np.array(options.mean, np.float32).reshape(-1, 1, 1)
        self.scale = np.float32(options.scale)
        seed = 0 if options.seed is None and self.phase == caffe.TEST else options.seed
        self.generator, order = sequences.draws(seed)
        self.places = [crops.centre(self.side, self.side, self.size)] * options.batch
        self.steps = sequences.rows(frames, videos, options.batch, order, ThreadPoolExecutor(cores()))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        top[0].reshape(len(self.places), len(self.mean), self.size, self.size)
        for index in (1, 2):
            top[index].reshape(len(self.places))

    @printing_errors()
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        out, labels, firsts = top[0].data, top[1].data, top[2].data
        for row, (image, label, first) in enumerate(next(self.steps)):
            if first and self.phase == caffe.TRAIN:
                self.places[row] = crops.draw(self.generator, self.side, self.side, self.size, self.corners)
            crop = crops.cut(image, self.places[row], self.size)
            np.subtract(crop.transpose(2, 0, 1), self.mean, out=out[row])
            labels[row], firsts[row] = label, first
        if self.scale != 1:
            out *= self.scale

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        pass
