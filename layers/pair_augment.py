"""One crop and one mirror for both frames of a pair (Sec. 3.2)."""

from collections.abc import Sequence

import caffe
import cv2
import numpy as np
from pydantic import Field

from layers.options import Blobs, CropOptions, printing_errors, read_options
from rcnn.data import crops, flow
from rcnn.files import InputError


class PairOptions(CropOptions):
    """The param_str of PairAugment."""

    together: bool = Field(True, description="true or false")


class PairAugment(caffe.Layer):
    """Cut the frames t-1 and t out of tall images, with one random crop and mirror a pair; at test, the centre.

    bottom[0]: N x 3 x 2H x W, values 0 to 255, BGR; frame t-1 stands above frame t.  With a mean of two numbers it is
    8-bit flow, N x 1 x 4H x W (x and y of frame t-1 above x and y of frame t) or the same as N x 4 x H x W; its x is
    negated where it is mirrored (`flow.negate`).
    top: N x 3 (flow: 2) x size x size, (value - mean) * scale: frame t-1 and frame t, or frame t alone where the layer
    has one top.

    param_str is JSON:
        size      side of the crop in pixels, required
        mean      three numbers, BGR, or two for flow; default [104, 117, 123]
        scale     multiplies what is left after the mean; default 1
        crop      "random" places in training, or "corners" and the centre in four sizes; default random
        seed      of the crops' random numbers; default a fresh one each run
        together  false draws crop and mirror for each frame by itself; default true

    layer {
      name: "pair" type: "Python" bottom: "data" top: "previous/frame" top: "frame"
      python_param { module: "layers.pair_augment" layer: "PairAugment" param_str: '{"size": 224}' }
    }
    """

    @printing_errors()
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        options = read_options("PairAugment", self.param_str, PairOptions)
        if len(bottom) != 1 or len(top) not in (1, 2):
            raise InputError(f"PairAugment takes one bottom and one or two tops, not {len(bottom)} and {len(top)}")
        self.size, self.together, self.corners = options.size, options.together, options.crop == "corners"
        self.mean = np.array(options.mean, np.float32).reshape(-1, 1, 1)
        self.scale = np.float32(options.scale)
        self.generator = np.random.default_rng(options.seed)

    @printing_errors()
    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        number, _, channels, height, width = self._pairs(bottom[0].data).shape
        crops.positions(height, width, self.size)
        for index in range(len(top)):
            top[index].reshape(number, channels, self.size, self.size)

    def _pairs(self, data: np.ndarray) -> np.ndarray:
        """Return the values of the bottom as a view N x 2 frames x channels x H x W."""
        number, planes, height, width = data.shape
        if len(self.mean) == flow.CHANNELS:
            if (planes, height % 4) != (1, 0) and planes != 4:
                raise InputError(
                    "PairAugment with a mean of two numbers needs flow, N x 1 x 4H x W or N x 4 x H x W, "
                    f"not {data.shape}; is the LMDB one of pairs of flow?"
                )
            return data.reshape(number, 2, flow.CHANNELS, planes * height // 4, width)
        if planes != 3 or height % 2:
            raise InputError(
                "PairAugment needs N x 3 x 2H x W, frame t-1 above frame t, not "
                f"{data.shape}; is the LMDB one of `build_pairs.py --encoding jpeg`?"
            )
        return data.reshape(number, 3, 2, height // 2, width).transpose(0, 2, 1, 3, 4)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        pairs = self._pairs(bottom[0].data)
        frames = {1: top[len(top) - 1].data}
        if len(top) == 2:
            frames[0] = top[0].data
        for row, pair in enumerate(pairs):
            place = self._place(*pairs.shape[3:])
            for index, out in frames.items():
                if index == 0 and not self.together:
                    place = self._place(*pairs.shape[3:])
                self._cut(pair[index], out[row], place)
        for out in frames.values():
            out -= self.mean
            if self.scale != 1:
                out *= self.scale

    def _cut(self, frame: np.ndarray, out: np.ndarray, place: crops.Place) -> None:
        for plane, target in zip(frame, out):
            crop = crops.cut(plane, place._replace(mirror=False), self.size)
            if place.mirror:
                cv2.flip(crop, 1, target)  # NumPy is slow on rows that run backwards
            else:
                target[...] = crop
        if place.mirror and len(out) == flow.CHANNELS:
            out[0] = flow.negate(out[0])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        pass

    def _place(self, height: int, width: int) -> crops.Place:
        if self.phase == caffe.TRAIN:
            return crops.draw(self.generator, height, width, self.size, self.corners)
        return crops.centre(height, width, self.size)
