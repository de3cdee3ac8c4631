"""Deploy nets through pycaffe: what a net and its weights give for the frames of videos (Sec. 2.4, 3.2).

Caffe leaves a layer that the weights lack at its filler's random values, and aborts where a shape differs; here both
are InputErrors.
"""
from itertools import islice

import caffe
import numpy as np

from rcnn.crops import MEAN, network_input, oversample
from rcnn.files import InputError
from rcnn.googlenet import SIGNALS
from rcnn.net import PREVIOUS
from rcnn.protos import read_net, read_weights, weight_layers
from rcnn.weights import dimensions, fits


class Network:
    """A deploy net with its weights, on frames (input "frame") or on pairs (also "previous/frame").

    pair: whether it takes pairs.  size: height and width of its input in pixels.  signals: those of "low", "medium" and
    "high" that it puts out.  classes: how many.
    """

    def __init__(self, net_path, weights_path):
        message = read_net(net_path)
        weights = read_weights(weights_path)
        self._net = caffe.Net(str(net_path), caffe.TEST)
        check_weights(message, self._net, weights, weights_path)
        self._net.copy_from(str(weights_path))
        inputs, blobs = set(self._net.inputs), self._net.blobs
        if inputs not in ({"frame"}, {"frame", PREVIOUS + "frame"}):
            raise InputError(f"net: {net_path} has inputs {', '.join(sorted(inputs)) or 'none'}; a deploy net has "
                             f"frame, or {PREVIOUS}frame and frame")
        self.pair = len(inputs) == 2
        self.signals = [signal for signal in SIGNALS if signal in blobs]
        if self.pair and not all(PREVIOUS + signal in blobs for signal in self.signals):
            raise InputError(f"net: {net_path} lacks {PREVIOUS} outputs, the scores of a video's first frame")
        if not self.signals:
            raise InputError(f"net: {net_path} has none of the outputs {', '.join(SIGNALS)}")
        _, channels, self.size, width = blobs["frame"].shape
        if width != self.size or channels != 3:
            raise InputError(f"net: {net_path} takes {channels} x {self.size} x {width} frames, not 3 x size x size")
        self.classes = blobs[self.signals[0]].shape[1]

    def forward(self, frames, previous=None):
        """Return the probabilities (now, before) of a batch, float32 N x signals x classes each.

        frames: float32 N x 3 x size x size, as `crops.network_input` makes them; previous: the frames before them, for
        a net that takes pairs.  now: of each frame with the frame before it; before: of each frame before as the first
        of its video (Eq. 3 at t = 1), None from a net that takes single frames.
        """
        self._feed("frame", frames)
        if self.pair:
            self._feed(PREVIOUS + "frame", previous)
        self._net.forward()
        return self._outputs(""), self._outputs(PREVIOUS) if self.pair else None

    def _feed(self, name, values):
        blob = self._net.blobs[name]
        if blob.shape[0] != len(values):
            blob.reshape(*values.shape)
        blob.data[...] = values

    def _outputs(self, prefix):
        return np.stack([self._net.blobs[prefix + signal].data for signal in self.signals], axis=1)


def check_weights(message, net, weights, path):
    """Raise InputError unless a caffemodel gives every parameter of a net a value of its shape.

    message: the net's NetParameter.  net: caffe.Net.  weights: the caffemodel's NetParameter; path: its file.  A layer
    that the caffemodel lacks may have its parameters through others that share them by name.
    """
    given = {layer.name: layer for layer in weight_layers(weights)}
    names = {layer.name: [param.name for param in layer.param] for layer in message.layer}
    filled, wanted = set(), {}
    for layer in names:
        blobs = net.params.get(layer, [])
        shared = names[layer] + [""] * len(blobs)
        keys = [shared[index] or (layer, index) for index in range(len(blobs))]
        if layer in given:
            _check_shapes(layer, blobs, given[layer].blobs, path)
            filled.update(keys)
        wanted.update((key, layer) for key in keys)
    missing = list(dict.fromkeys(layer for key, layer in wanted.items() if key not in filled))
    if missing:
        raise InputError(f"weights: {path} lacks {len(missing)} of the net's layers, the first is {missing[0]}; "
                         "are they another net's?")


def _check_shapes(layer, blobs, given, path):
    if len(blobs) != len(given):
        raise InputError(f"weights: {path} has {len(given)} parameters for layer {layer}, the net has {len(blobs)}")
    for blob, other in zip(blobs, given):
        if not fits(tuple(blob.shape), other):
            raise InputError(f"weights: {path} has shape {dimensions(other)} for layer {layer}, the net has "
                             f"{list(blob.shape)}; "
                             "are width, input size and classes the same?")


def score_videos(network, videos, read, crops, batch, mean=MEAN, scale=1.0):
    """Yield the scores of each video in turn, float32, frames x crops x signals x classes.

    videos: the number of frames of each, at least 1.  read(video, frame): return a frame, uint8 H x W x 3 BGR, both
    counted from 0; frames are asked for once each, in order.  batch: crops a forward pass, of one video or several.

    A net that takes pairs scores frame t from frames t - 1 and t, and a video's first frame as Eq. 3 does at t = 1; a
    video of one frame is the pair of that frame and itself, of which only the score at t = 1 is used.
    """
    jobs = _jobs(network, videos, read, crops)
    scores = {}
    while chunk := list(islice(jobs, batch)):
        frames = network_input(np.stack([job[2] for job in chunk]), mean, scale)
        previous = network_input(np.stack([job[3] for job in chunk]), mean, scale) if network.pair else None
        now, before = network.forward(frames, previous)
        for place, (video, rows, _, _, crop) in enumerate(chunk):
            if video not in scores:
                shape = (videos[video], crops, len(network.signals), network.classes)
                scores[video] = np.full(shape, np.nan, np.float32)
            if rows[0] is not None:
                scores[video][rows[0], crop] = now[place]
            if rows[1] is not None:
                scores[video][rows[1], crop] = before[place]
        for video in sorted(scores):
            if video < chunk[-1][0]:
                yield scores.pop(video)
    yield from scores.values()


def _jobs(network, videos, read, crops):
    """Yield (video, (row of the score, row of the score of the frame before), crop, crop before, crop's number)."""
    for video, count in enumerate(videos):
        before = None
        for index in range(count):
            views = oversample(read(video, index), network.size, crops)
            if not network.pair:
                rows = (index, None)
            elif index == 0:
                rows = (None, 0)
            else:
                rows = (index, 0 if index == 1 else None)
            if not network.pair or index or count == 1:
                for crop in range(crops):
                    yield video, rows, views[crop], (views if before is None else before)[crop], crop
            before = views
