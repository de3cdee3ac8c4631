"""Deploy nets through pycaffe: what a net and its weights give for the frames of videos (Sec. 2.4, 3.2).

Caffe leaves a layer that the weights lack at its filler's random values, and aborts where a shape differs; here both
are InputErrors.
"""
from itertools import groupby, islice

import caffe
import numpy as np

from rcnn.nets import device
from rcnn.data.crops import MEANS, network_input, oversample
from rcnn.files import InputError
from rcnn.googlenet import SIGNALS
from rcnn.nets.prototxt import PREVIOUS
from rcnn.nets.network import checked_mode
from rcnn.nets.protos import read_net, read_weights, weight_layers
from rcnn.nets.weights import dimensions, fits

INPUTS = {"frame": {"frame"}, "pair": {"frame", PREVIOUS + "frame"}, "recurrent": {"frame", "first"}}


class Network:
    """A deploy net with its weights.

    kind: "frame", it takes single frames (deploy_cnn); "pair", frames and those before them (deploy_rcnn_r);
    "recurrent", the next frame of each row's video (deploy_rcnn_s).  size: height and width of its input in pixels;
    channels: of its input, 3 for images or 2 for flow.
    signals: those of "low", "medium" and "high" that it puts out.  classes: how many.
    """

    def __init__(self, net_path, weights_path, gpu=None):
        """net_path: prototxt.  weights_path: caffemodel.  gpu: its number from 0; None computes on the CPU."""
        message = read_net(net_path)
        weights = read_weights(weights_path)
        device.use(gpu)
        self._net = caffe.Net(str(net_path), caffe.TEST)
        check_weights(message, self._net, weights, weights_path)
        self._net.copy_from(str(weights_path))
        inputs, blobs = set(self._net.inputs), self._net.blobs
        kinds = [kind for kind, names in INPUTS.items() if names == inputs]
        if not kinds:
            raise InputError(f"net: {net_path} has inputs {', '.join(sorted(inputs)) or 'none'}; a deploy net has "
                             f"frame, {PREVIOUS}frame and frame, or frame and first")
        self.kind = kinds[0]
        self.signals = [signal for signal in SIGNALS if signal in blobs]
        if self.kind == "pair" and not all(PREVIOUS + signal in blobs for signal in self.signals):
            raise InputError(f"net: {net_path} lacks {PREVIOUS} outputs, the scores of a video's first frame")
        if not self.signals:
            raise InputError(f"net: {net_path} has none of the outputs {', '.join(SIGNALS)}")
        _, self.channels, self.size, width = blobs["frame"].shape
        if width != self.size or self.channels not in MEANS:
            raise InputError(f"net: {net_path} takes {self.channels} x {self.size} x {width} frames, not 3 x size x "
                             "size (images) or 2 x size x size (flow)")
        self.classes = blobs[self.signals[0]].shape[1]

    def forward(self, frames, previous=None, first=None):
        """Return the probabilities of a batch, float32 N x signals x classes.

        frames: float32 N x channels x size x size, as `crops.network_input` makes them.  previous: the frames before
        them, for a net of kind "pair".  first: N, whether a row's frame is the first of its video, for kind
        "recurrent"; N may change only where all are.
        """
        self._feed("frame", frames)
        if self.kind == "pair":
            self._feed(PREVIOUS + "frame", previous)
        if self.kind == "recurrent":
            self._feed("first", np.asarray(first, np.float32))
        self._net.forward()
        return self._outputs("")

    def forward_pair(self, frames, previous):
        """Return the probabilities (now, before) of a batch of pairs, float32 N x signals x classes each.

        now: of each frame with the frame before it; before: of each frame before as the first of its video (Eq. 3 at
        t = 1).  A net of kind "recurrent" starts from `previous`, so that its state is that of a pair too.
        """
        if self.kind == "pair":
            return self.forward(frames, previous), self._outputs(PREVIOUS)
        before = self.forward(previous, first=np.ones(len(previous)))
        return self.forward(frames, first=np.zeros(len(frames))), before

    def hold(self, rows):
        """Return v^t of the rows (a list of their numbers) of a net of kind "recurrent", for `restore` after a pass."""
        return [blob.data[rows] for blob in self._states()]

    def restore(self, rows, held):
        """Put back what `hold` returned, so that the next pass finds it as v^{t-1}."""
        for blob, values in zip(self._states(), held):
            blob.data[rows] = values

    def _states(self):
        return [self._net.blobs[name[len(PREVIOUS):]] for name in self._net.blobs if name.startswith(PREVIOUS)]

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


def score_videos(network, videos, read, crops, batch, mean=None, scale=1.0, mode=None):
    """Yield (video, scores) until all frames are scored; scores: float32, frames x crops x signals x classes.

    videos: the number of frames of each, at least 1.  read(video, frame): return a frame, uint8 H x W x 3 BGR or
    H x W x 2 flow, both counted from 0; frames are asked for once each, in order within a video.  The blocks of a video
    come in the order of its frames; those of several videos may alternate.  mean: of the input, as in training; None
    for that of `crops.MEANS`.
    batch: crops a forward pass, at least those of one frame; it bounds the memory, whatever the videos' lengths.
    mode: "frame", each by itself; "pair", frame t is scored from frames t - 1 and t, and a video's first frame as Eq. 3
    does at t = 1; "recurrent", with v^{t-1} of all frames before; None: what the net is.  A net of kind "recurrent"
    knows "pair" too.

    The pair of a video of one frame is that frame twice, of which only the score at t = 1 is used.
    """
    mode = checked_mode(mode, network.kind)
    frames = max(1, batch // crops)
    mean = MEANS[network.channels] if mean is None else mean

    def views(video, index):
        return network_input(oversample(read(video, index), network.size, crops), mean, scale)

    if mode == "recurrent":
        return _in_order(network, videos, views, crops, frames)
    return _apart(network, videos, views, crops, frames, mode)


def _apart(network, videos, views, crops, frames, mode):
    """Yield the scores of frames by themselves or in pairs, `frames` of them a pass."""
    jobs = (_pairs if mode == "pair" else _frames)(videos, views)
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
            yield video, scored[row * crops:(row + 1) * crops][np.newaxis]
            if index + 1 < videos[video]:
                playing[row] = video, index + 1
            else:
                video = next(waiting, None)
                playing[row] = None if video is None else (video, 0)
