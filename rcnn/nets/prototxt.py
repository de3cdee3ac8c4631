"""Every net and solver, as Caffe prototxt made with pycaffe's NetSpec from `rcnn.googlenet`.

    cnn(model, data, phase)              the single-frame baseline
    rcnn_r(model, data, phase, learning) RCNN-r: a pair of frames in, the loss at frame t out
    rcnn_s(model, data, phase, learning) RCNN-s: the next frame of each stream in, v^{t-1} from the pass before
    deploy_cnn(model), deploy_rcnn_r(model), deploy_rcnn_s(model)
    solver(train_net, test_net, ...)

A pair net has two towers.  The layers of frame t-1 carry the prefix "previous/" and share the spatial parameters by
name; with the gradient into them cut (Eq. 6) Caffe finds that they need no backward pass.  A recurrent net has one;
its blobs "previous/..." are what layers/temporal_state.py recalls.  Layers with parameters have the same names in both,
so that weights go from one to the other.
"""
import json
from dataclasses import dataclass

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2

from rcnn.data import crops

from rcnn.data import flow

from rcnn import googlenet
from rcnn.files import InputError
from rcnn.googlenet import PREVIOUS

Model = googlenet.Model
TRAIN, TEST = caffe.TRAIN, caffe.TEST


@dataclass(frozen=True)
class Data:
    """Where a training or test net's pairs come from.

    encoding: of the pairs LMDB, "jpeg" (cropped by layers/pair_augment.py) or "raw" (by Caffe itself, but flow, which
    Caffe would mirror without negating x, by that layer too).  scale: multiplies the input after the mean is taken off.
    seed: of the crops, None for a fresh one each run (of what the layer crops).  together: one crop and mirror a pair;
    False draws them for each frame (jpeg only).
    """
    source: str
    batch: int = 64
    encoding: str = "jpeg"
    mean: tuple = crops.MEAN
    scale: float = 1.0
    seed: int = None
    together: bool = True

    def __post_init__(self):
        if self.encoding not in ("jpeg", "raw"):
            raise InputError(f"encoding is jpeg or raw, not {self.encoding}")
        if self.encoding == "raw" and not self.together:
            raise InputError("raw pairs have one crop for both frames; use jpeg pairs to draw it for each frame")


@dataclass(frozen=True)
class Frames:
    """Where the frames of a recurrent training or test net come from (layers/sequential_frames.py).

    source: a frames LMDB.  list: the text file with the split's videos.  batch: streams side by side.  scale:
    multiplies the input after the mean is taken off.  seed: of the order of videos and the crops, None for a fresh one
    each run.
    """
    source: str
    list: str
    batch: int = 64
    mean: tuple = crops.MEAN
    scale: float = 1.0
    seed: int = None


@dataclass(frozen=True)
class Learning:
    """How a training net learns (Sec. 2.2, 3.1).

    stage 1: W and b of every layer that GoogLeNet has stay as they are; stage 2: all learn.  spatial_rate: lr_mult of
    W in stage 2 (b has twice that), 1 for a temporal weight.  previous_loss: a loss on frame t-1 too.  cut_gradient:
    Eq. 6.
    """
    stage: int = 2
    spatial_rate: float = 1.0
    previous_loss: bool = False
    cut_gradient: bool = True

    def __post_init__(self):
        if self.stage not in (1, 2):
            raise InputError(f"there are stages 1 and 2, not {self.stage}")


def cnn(model, data, phase):
    """Return the single-frame net of frame t of each pair, with its losses (and accuracies where phase is TEST)."""
    net = caffe.NetSpec()
    label = _input(net, model, data, phase, pair=False)
    _Tower(net, model, Learning()).losses(label, phase)
    return _named(net, "GoogLeNet")


def rcnn_r(model, data, phase, learning=Learning()):
    """Return the RCNN-r net of a pair (Sec. 2.3), with its losses (and accuracies where phase is TEST)."""
    net = caffe.NetSpec()
    label = _input(net, model, data, phase, pair=True)
    for tower in _pair(net, model, learning, classify_previous=learning.previous_loss):
        tower.losses(label, phase)
    return _named(net, "GoogLeNet-RCNN")


def rcnn_s(model, data, phase, learning=Learning()):
    """Return the RCNN-s net (Sec. 2.2), one time step of `data.batch` streams a pass, with its losses.

    data: Frames.  Accuracies are there where phase is TEST.  Of `learning`, previous_loss and cut_gradient mean nothing
    here: a pass has one frame, and the gradient never goes into the past.
    """
    if len(data.mean) != model.channels or model.channels not in crops.MEANS:
        raise InputError("frames in order have 3 channels (images) or 2 (flow) and as many means, not "
                         f"{model.channels} and {len(data.mean)}")
    net = caffe.NetSpec()
    options = dict(source=data.source, list=data.list, batch=data.batch, size=model.size, mean=list(data.mean),
                   scale=data.scale)
    if data.seed is not None:
        options["seed"] = data.seed
    net["frame"], net["label"], net["first"] = L.Python(
        module="layers.sequential_frames", layer="SequentialFrames", param_str=json.dumps(options), ntop=3)
    _recurrent_tower(net, model, learning).losses(net["label"], phase)
    _keep(net, model)
    return _named(net, "GoogLeNet-RCNN")


def deploy_cnn(model, batch=1):
    """Return the net from "frame" (batch x channels x size x size) to the probabilities "low", "medium" and "high"."""
    net = caffe.NetSpec()
    _deploy_input(net, model, batch, "frame")
    _Tower(net, model, None).probabilities()
    return _named(net, "GoogLeNet")


def deploy_rcnn_r(model, batch=1):
    """Return the net from "previous/frame" and "frame" to the probabilities "low", "medium", "high" of frame t.

    The outputs "previous/low", "previous/medium" and "previous/high" are those of frame t-1 as the first of its video
    (Eq. 3 at t = 1).
    """
    net = caffe.NetSpec()
    _deploy_input(net, model, batch, PREVIOUS + "frame", "frame")
    for tower in _pair(net, model, None, classify_previous=True):
        tower.probabilities()
    return _named(net, "GoogLeNet-RCNN")


def deploy_rcnn_s(model, batch=1):
    """Return the net from "frame" and "first" to the probabilities "low", "medium", "high" of each row's frame.

    "first" (batch) is 1 in a row whose frame is the first of its video, else 0: the net keeps v^{t-1} of each row from
    one forward pass to the next.  Weights of RCNN-r fit as those of RCNN-s do.
    """
    net = caffe.NetSpec()
    _deploy_input(net, model, batch, "frame")
    net["first"] = L.Input(shape=dict(dim=[batch]))
    _recurrent_tower(net, model, None).probabilities()
    _keep(net, model)
    return _named(net, "GoogLeNet-RCNN")


def solver(train_net, test_net, snapshot_prefix, iterations, test_iterations, *, rate=0.01, final_rate=0.01,
           momentum=0.9, weight_decay=0.0002, iter_size=1, display=40, test_interval=1000, snapshot=1000, seed=None,
           clip_gradients=None):
    """Return the SolverParameter of Sec. 3.1: SGD with an exponentially falling rate.

    train_net, test_net, snapshot_prefix: paths, relative to the folder that Caffe runs in.  final_rate: the share of
    `rate` left after the last of `iterations`.  iter_size: how many batches make one update.  test_iterations:
    batches a test.  clip_gradients: the largest Euclidean norm of all gradients together; None does not clip.
    """
    parameter = caffe_pb2.SolverParameter(
        train_net=str(train_net), test_iter=[test_iterations], test_interval=test_interval, test_initialization=False,
        base_lr=rate, lr_policy="exp", gamma=final_rate ** (1 / iterations), momentum=momentum,
        weight_decay=weight_decay,
        iter_size=iter_size, max_iter=iterations, display=display, average_loss=40, snapshot=snapshot,
        snapshot_prefix=str(snapshot_prefix), solver_mode=caffe_pb2.SolverParameter.CPU, type="SGD")
    parameter.test_net.append(str(test_net))
    if seed is not None:
        parameter.random_seed = seed
    if clip_gradients is not None:
        parameter.clip_gradients = clip_gradients
    return parameter


class _Tower:
    """The layers of one frame; `previous`, which has v^{t-1} by layer name, makes them those of Eq. 3 at t > 1.

    learning: None in a net that only runs forward.  share: name the spatial parameters, so that towers with the same
    names share.  marked: rows may be at t = 1, where v^{t-1} is 0; the net's "first/whole" and "first/none" tell which.
    """

    def __init__(self, net, model, learning, prefix="", previous=None, share=False, classify=True, marked=False):
        self.net, self.model, self.learning = net, model, learning
        self.prefix, self.previous, self.share, self.marked = prefix, previous, share, marked
        layers = model.layers()
        self.classifiers = [layer for layer in layers if isinstance(layer, googlenet.Classifier)] if classify else []
        for layer in layers if classify else googlenet.without_classifiers(layers):
            if isinstance(layer, googlenet.RECURRENT):
                self._recurrent(layer)
            else:
                net[prefix + layer.name] = self._plain(layer)

    def __getitem__(self, name):
        return self.net[self.prefix + name]

    def probabilities(self):
        for layer in self.classifiers:
            self.net[self.prefix + layer.signal] = L.Softmax(self[layer.name])

    def losses(self, label, phase):
        for layer in self.classifiers:
            signal = self.prefix + layer.signal
            self.net[signal + "/loss"] = L.SoftmaxWithLoss(self[layer.name], label,
                                                           loss_weight=googlenet.LOSS_WEIGHT[layer.signal])
            if phase == TEST:
                self.net[signal + "/accuracy"] = L.Accuracy(self[layer.name], label)

    def _plain(self, layer):
        if isinstance(layer, googlenet.Concatenation):
            return L.Concat(*(self[bottom] for bottom in layer.bottoms))
        bottom = self[layer.bottom]
        if isinstance(layer, googlenet.Pooling):
            return L.Pooling(bottom, pool=getattr(P.Pooling, layer.method), kernel_size=layer.kernel,
                             stride=layer.stride, pad=layer.pad)
        if isinstance(layer, googlenet.Normalization):
            return L.LRN(bottom, local_size=layer.local_size, alpha=layer.alpha, beta=layer.beta)
        if isinstance(layer, googlenet.Dropout):
            return L.Dropout(bottom, dropout_ratio=layer.ratio)
        return L.InnerProduct(bottom, num_output=self.model.classes, weight_filler=dict(type="xavier"),
                              bias_filler=dict(type="constant", value=0),
                              **self._spatial_param(layer.name, pretrained=False))

    def _recurrent(self, layer):
        net, name = self.net, self.prefix + layer.name
        net[name] = spatial = self._weighted(
            layer, self[layer.bottom], weight_filler=dict(type=self.model.filler),
            bias_filler=dict(type="constant", value=self.model.bias),
            **self._spatial_param(layer.name, layer.pretrained))
        if self.previous is not None:
            spatial.fn.params["name"] = name
            net[name + "/spatial"] = spatial
            temporal = self._weighted(
                layer.temporal(), self.previous[layer.name], name=name + "/temporal",
                weight_filler=dict(type=self.model.temporal_filler), **self._temporal_param())
            if self.marked and self.model.temporal_bias:
                net[name + "/temporal/biased"] = temporal
                temporal = L.Scale(temporal, net["first/none"], name=name + "/temporal/none", axis=0)
            net[name + "/temporal"] = temporal
            halves = dict(coeff=[0.5, 0.5]) if self.model.combine == "average" else {}
            combined = L.Eltwise(spatial, temporal, name=name + "/sum", operation=P.Eltwise.SUM, **halves)
            if self.marked and halves:
                net[name + "/average"] = combined
                combined = L.Scale(combined, net["first/whole"], name=name + "/whole", axis=0)
            net[name] = combined
        net["/relu_".join(name.replace("_s2", "").rsplit("/", 1))] = L.ReLU(net[name], in_place=True)

    def _weighted(self, layer, bottom, **options):
        options["num_output"] = layer.channels
        if isinstance(layer, googlenet.FullyConnected):
            return L.InnerProduct(bottom, **options)
        return L.Convolution(bottom, kernel_size=layer.kernel, stride=layer.stride, pad=layer.pad, **options)

    def _spatial_param(self, name, pretrained):
        """Caffe's `param` of W and b: how fast they learn, and in a pair net the names that the towers share."""
        weight, bias = {}, {}
        if self.learning is not None:
            rate = 1.0
            if pretrained and (self.share or self.previous is not None):
                rate = 0.0 if self.learning.stage == 1 else self.learning.spatial_rate
            weight.update(lr_mult=rate, decay_mult=1.0 if rate else 0.0)
            bias.update(lr_mult=2 * rate, decay_mult=0.0)
        if self.share:
            weight["name"], bias["name"] = name + "/weight", name + "/bias"
        return dict(param=[weight, bias]) if weight else {}

    def _temporal_param(self):
        options, weight, bias = {}, dict(lr_mult=1.0, decay_mult=1.0), dict(lr_mult=2.0, decay_mult=0.0)
        if self.model.temporal_bias:
            options["bias_filler"] = dict(type="constant", value=0)
        else:
            options["bias_term"] = False
        if self.learning is not None:
            options["param"] = [weight, bias] if self.model.temporal_bias else [weight]
            if self.learning.cut_gradient or self.marked:
                options["propagate_down"] = [False]
        return options


def _pair(net, model, learning, classify_previous):
    previous = _Tower(net, model, learning, PREVIOUS, share=True, classify=classify_previous)
    return previous, _Tower(net, model, learning, previous=previous, share=True)


def _recurrent_tower(net, model, learning):
    """Add the layers that recall v^{t-1} and those of frame t; return its tower."""
    layers = model.layers()
    shapes = googlenet.shapes(layers, model.channels, model.size)
    names = _states(model)
    states = [shapes[layer.name][:1 if isinstance(layer, googlenet.FullyConnected) else 3]
              for layer in layers if layer.name in names]
    *recalled, net["state"] = L.Python(
        net["first"], name="state/recall", module="layers.temporal_state", layer="RecallState",
        param_str=json.dumps(dict(shapes=states)), ntop=len(names) + 1)
    for name, top in zip(names, recalled):
        net[PREVIOUS + name] = top
    if model.combine == "average":
        net["first/whole"] = L.Power(net["first"], scale=1, shift=1)  # 2 where t = 1, which undoes the halving
    if model.temporal_bias:
        net["first/none"] = L.Power(net["first"], scale=-1, shift=1)  # 0 where t = 1, which has no temporal part
    return _Tower(net, model, learning, previous={name: net[PREVIOUS + name] for name in names}, marked=True)


def _keep(net, model):
    """Add the layer at the end of a recurrent net that keeps v^t."""
    net["state/keep"] = L.Python(*(net[name] for name in _states(model)), net["state"], ntop=0,
                                 module="layers.temporal_state", layer="KeepState")


def _states(model):
    return [layer.name for layer in model.layers() if isinstance(layer, googlenet.RECURRENT)]


def _input(net, model, data, phase, pair):
    """Add the layers that read pairs; return the label."""
    tops = [PREVIOUS + "frame", "frame"]
    if len(data.mean) != model.channels or data.encoding == "jpeg" and model.channels not in crops.MEANS:
        raise InputError(f"frames of {model.channels} channels take as many means, not {len(data.mean)}, and jpeg "
                         "pairs have 3 channels (images) or 2 (flow); use raw pairs for others")
    if data.encoding == "raw" and model.channels != flow.CHANNELS:
        net["pair"], net["label"] = L.Data(
            source=data.source, backend=P.Data.LMDB, batch_size=data.batch, ntop=2,
            transform_param=dict(crop_size=model.size, mirror=phase == TRAIN, mean_value=[*data.mean] * 2,
                                 scale=data.scale))
        net[tops[0]], net[tops[1]] = L.Slice(net["pair"], axis=1, slice_point=[model.channels], ntop=2)
        if not pair:
            net["unused"] = L.Silence(net[tops[0]], ntop=0)
        return net["label"]
    net["pair"], net["label"] = L.Data(source=data.source, backend=P.Data.LMDB, batch_size=data.batch, ntop=2)
    options = dict(size=model.size, mean=list(data.mean), scale=data.scale, together=data.together)
    if data.seed is not None:
        options["seed"] = data.seed
    made = L.Python(net["pair"], module="layers.pair_augment", layer="PairAugment", param_str=json.dumps(options),
                    ntop=2 if pair else 1)
    for top, blob in zip(tops if pair else tops[1:], made if pair else [made]):
        net[top] = blob
    return net["label"]


def _deploy_input(net, model, batch, *names):
    for name in names:
        net[name] = L.Input(shape=dict(dim=[batch, model.channels, model.size, model.size]))


def _named(net, name):
    parameter = net.to_proto()
    parameter.name = name
    return parameter
