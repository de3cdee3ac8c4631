"""One crop and one mirror for both frames of a pair (Sec. 3.2)."""
import json
import sys
from contextlib import contextmanager

import caffe
import cv2
import numpy as np

from rcnn import crops
from rcnn.files import InputError

DEFAULTS = {"size": None, "mean": list(crops.MEAN), "scale": 1.0, "seed": None, "together": True}


class PairAugment(caffe.Layer):
    """Cut the frames t-1 and t out of tall images, with one random crop and mirror a pair; at test, the centre.

    bottom[0]: N x 3 x 2H x W, values 0 to 255, BGR; frame t-1 stands above frame t.
    top: N x 3 x size x size, (value - mean) * scale: frame t-1 and frame t, or frame t alone where the layer has one
    top.

    param_str is JSON:
        size      side of the crop in pixels, required
        mean      three numbers, BGR; default [104, 117, 123]
        scale     multiplies what is left after the mean; default 1
        seed      of the crops' random numbers; default a fresh one each run
        together  false draws crop and mirror for each frame by itself; default true

    layer {
      name: "pair" type: "Python" bottom: "data" top: "previous/frame" top: "frame"
      python_param { module: "layers.pair_augment" layer: "PairAugment" param_str: '{"size": 224}' }
    }
    """

    def setup(self, bottom, top):
        with _spoken():
            options = _options(self.param_str)
            if len(bottom) != 1 or len(top) not in (1, 2):
                raise InputError(f"PairAugment takes one bottom and one or two tops, not {len(bottom)} and {len(top)}")
        self.size = options["size"]
        self.mean = options["mean"]
        self.scale = np.float32(options["scale"])
        self.together = options["together"]
        self.generator = np.random.default_rng(options["seed"])

    def reshape(self, bottom, top):
        number, channels, height, width = bottom[0].shape
        with _spoken():
            if channels != 3 or height % 2:
                raise InputError("PairAugment needs N x 3 x 2H x W, frame t-1 above frame t, not "
                                 f"{tuple(bottom[0].shape)}; is the LMDB one of `build_pairs.py --encoding jpeg`?")
            crops.positions(height // 2, width, self.size)
        for index in range(len(top)):
            top[index].reshape(number, channels, self.size, self.size)

    def forward(self, bottom, top):
        pairs = bottom[0].data
        height, width = pairs.shape[2] // 2, pairs.shape[3]
        frames = {1: top[len(top) - 1].data}
        if len(top) == 2:
            frames[0] = top[0].data
        for row, pair in enumerate(pairs):
            place = self._place(height, width)
            for index, out in frames.items():
                if index == 0 and not self.together:
                    place = self._place(height, width)
                self._cut(pair[:, index * height:(index + 1) * height], out[row], *place)
        for out in frames.values():
            for channel, mean in enumerate(self.mean):
                out[:, channel] -= mean
            if self.scale != 1:
                out *= self.scale

    def _cut(self, frame, out, top, left, mirror):
        for plane, target in zip(frame, out):
            crop = crops.cut(plane, top, left, self.size)
            if mirror:
                cv2.flip(crop, 1, target)  # NumPy is slow on rows that run backwards
            else:
                target[...] = crop

    def backward(self, top, propagate_down, bottom):
        pass

    def _place(self, height, width):
        if self.phase == caffe.TRAIN:
            return crops.draw(self.generator, height, width, self.size)
        return *crops.positions(height, width, self.size)[0], False


@contextmanager
def _spoken():
    """Print an InputError before Caffe aborts on it, since the `caffe` program does not say what a layer raised."""
    try:
        yield
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        raise


def _options(text):
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise InputError(f"PairAugment: param_str is not JSON ({error}): {text}") from error
    if not isinstance(given, dict) or set(given) - set(DEFAULTS):
        raise InputError(f"PairAugment: param_str knows {', '.join(DEFAULTS)}; it says {text}")
    options = {**DEFAULTS, **given}
    if type(options["size"]) is not int or options["size"] < 1:
        raise InputError(f"PairAugment: param_str needs \"size\", the side of the crop in pixels; it says {text}")
    if not isinstance(options["mean"], list) or len(options["mean"]) != 3 or not all(map(_is_number, options["mean"])):
        raise InputError(f"PairAugment: \"mean\" takes three numbers, blue, green, red; it says {text}")
    if not _is_number(options["scale"]):
        raise InputError(f"PairAugment: \"scale\" takes a number; it says {text}")
    if options["seed"] is not None and (type(options["seed"]) is not int or options["seed"] < 0):
        raise InputError(f"PairAugment: \"seed\" takes a whole number of at least 0, or null; it says {text}")
    if type(options["together"]) is not bool:
        raise InputError(f"PairAugment: \"together\" takes true or false; it says {text}")
    return options


def _is_number(value):
    return type(value) in (int, float) and np.isfinite(value)
