"""Every net and solver, as Caffe prototxt made with pycaffe's NetSpec from `rcnn.googlenet` and a `rcnn.recipe.Recipe`.

    cnn(recipe, pairs, phase, stage)      the single-frame baseline
    rcnn_r(recipe, pairs, phase, stage)   RCNN-r: a pair of frames in, the loss at frame t out
    rcnn_s(recipe, frames, videos, phase, stage)
                                          RCNN-s: the next frame of each stream in, v^{t-1} from the pass before
    train_val(train, test)                the nets of both phases in one
    deploy_cnn(model), deploy_rcnn_r(model), deploy_rcnn_s(model)
    solver(recipe, net, ...)

A pair net has two towers.  The layers of frame t-1 carry the prefix "previous/" and share the spatial parameters by
name; with the gradient into them cut (Eq. 6) Caffe finds that they need no backward pass.  A recurrent net has one;
its blobs "previous/..." are what layers/temporal_state.py recalls.  Layers with parameters have the same names in both,
so that weights go from one to the other.

In stage 1 the W and b that are pretrained stay as they are; in stage 2 all learn (`recipe.spatial_rates`).
"""

import json
from collections.abc import Collection
from difflib import SequenceMatcher
from os import PathLike
from typing import Optional, Union

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto.caffe_pb2 import NetParameter, SolverParameter

from rcnn import googlenet
from rcnn.data import crops, flow
from rcnn.files import InputError
from rcnn.googlenet import PREVIOUS, Model
from rcnn.recipe import Fillers, Recipe, spatial_rates

TRAIN, TEST = caffe.TRAIN, caffe.TEST
Path = Union[str, PathLike]
Names = Optional[Collection[str]]


def cnn(recipe: Recipe, pairs: Path, phase: int, stage: int = 2, fresh: Names = None) -> NetParameter:
    """Return the single-frame net of frame t of each pair, with its losses (and accuracies where phase is TEST).

    Parameters
    ----------
    recipe
        Its learning rates mean nothing here: what learns does so at one rate.
    pairs, phase
        A pairs LMDB; TRAIN or TEST.
    stage, fresh
        1 or 2 (Sec. 3.1); names of the layers that stage 1 does not hold still, as of `recipe.spatial_rates`.
    """
    net = caffe.NetSpec()
    label = _input(net, recipe, pairs, phase, pair=False)
    _Tower(net, recipe, _rates(recipe, stage, False, fresh)).losses(label, phase)
    return _named(net, "GoogLeNet")


def rcnn_r(recipe: Recipe, pairs: Path, phase: int, stage: int = 2, fresh: Names = None) -> NetParameter:
    """Return the RCNN-r net of a pair (Sec. 2.3), with its losses (and accuracies where phase is TEST).

    Parameters
    ----------
    recipe, pairs, phase, stage, fresh
        As of `cnn`.
    """
    net = caffe.NetSpec()
    label = _input(net, recipe, pairs, phase, pair=True)
    for tower in _pair(net, recipe, _rates(recipe, stage, True, fresh), recipe.learning.previous_loss):
        tower.losses(label, phase)
    return _named(net, "GoogLeNet-RCNN")


def rcnn_s(recipe: Recipe, frames: Path, videos: Path, phase: int, stage: int = 2, fresh: Names = None) -> NetParameter:
    """Return the RCNN-s net (Sec. 2.2), one time step of `batch` streams a pass, with its losses.

    Accuracies are there where phase is TEST.

    Parameters
    ----------
    recipe
        Its previous_loss and cut_gradient mean nothing here: a pass has one frame, and the gradient never goes into
        the past.
    frames
        A frames LMDB (layers/sequential_frames.py).
    videos
        The list of the split's videos.
    phase, stage, fresh
        As of `rcnn_r`.
    """
    model, mean = recipe.model, list(recipe.mean(crops.MEANS))
    if model.channels not in crops.MEANS:
        raise InputError(f"channels: frames in order have 3 (images) or 2 (flow), not {model.channels}")
    net = caffe.NetSpec()
    options = dict(
        source=str(frames),
        list=str(videos),
        batch=recipe.data.batch,
        size=model.size,
        mean=mean,
        scale=recipe.data.scale,
        **_drawn(recipe),
    )
    net["frame"], net["label"], net["first"] = L.Python(
        module="layers.sequential_frames", layer="SequentialFrames", param_str=json.dumps(options), ntop=3
    )
    _recurrent_tower(net, recipe, _rates(recipe, stage, True, fresh)).losses(net["label"], phase)
    _keep(net, model)
    return _named(net, "GoogLeNet-RCNN")


def train_val(train: NetParameter, test: NetParameter) -> NetParameter:
    """Return one net whose layers in each phase are those of two, in their order.

    Layers that both have alike are there once; the others include their phase.
    """
    both = NetParameter(name=train.name)
    one, other = ([layer.SerializeToString(deterministic=True) for layer in net.layer] for net in (train, test))
    for kind, begin, end, test_begin, test_end in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            both.layer.extend(train.layer[begin:end])
            continue
        for phase, layers in ((TRAIN, train.layer[begin:end]), (TEST, test.layer[test_begin:test_end])):
            for layer in layers:
                added = both.layer.add()
                added.CopyFrom(layer)
                added.include.add(phase=phase)
    return both


def deploy_cnn(model: Model, batch: int = 1, fillers: Fillers = Fillers()) -> NetParameter:
    """Return the net from "frame" (batch x channels x size x size) to the probabilities "low", "medium" and "high"."""
    net = _deploy_input(model, batch, "frame")
    _Tower(net, Recipe(model=model, fillers=fillers)).probabilities()
    return _named(net, "GoogLeNet")


def deploy_rcnn_r(model: Model, batch: int = 1, fillers: Fillers = Fillers()) -> NetParameter:
    """Return the net from "previous/frame" and "frame" to the probabilities "low", "medium", "high" of frame t.

    The outputs "previous/low", "previous/medium" and "previous/high" are those of frame t-1 as the first of its video
    (Eq. 3 at t = 1).
    """
    net = _deploy_input(model, batch, PREVIOUS + "frame", "frame")
    for tower in _pair(net, Recipe(model=model, fillers=fillers), None, classify_previous=True):
        tower.probabilities()
    return _named(net, "GoogLeNet-RCNN")


def deploy_rcnn_s(model: Model, batch: int = 1, fillers: Fillers = Fillers()) -> NetParameter:
    """Return the net from "frame" and "first" to the probabilities "low", "medium", "high" of each row's frame.

    "first" (batch) is 1 in a row whose frame is the first of its video, else 0: the net keeps v^{t-1} of each row from
    one forward pass to the next.  Weights of RCNN-r fit as those of RCNN-s do.
    """
    net = _deploy_input(model, batch, "frame")
    net["first"] = L.Input(shape=dict(dim=[batch]))
    _recurrent_tower(net, Recipe(model=model, fillers=fillers), None).probabilities()
    _keep(net, model)
    return _named(net, "GoogLeNet-RCNN")


def solver(recipe: Recipe, net: Path, snapshot_prefix: Path, iterations: int) -> SolverParameter:
    """Return the solver of Sec. 3.1: SGD with an exponentially falling rate.

    Parameters
    ----------
    recipe
        Its solver's settings count, but for the iterations.
    net, snapshot_prefix
        Paths, relative to the folder that Caffe runs in; the net is of both phases.
    iterations
        Updates, after which `final_rate` of the rate is left.
    """
    settings = recipe.solver
    return SolverParameter(
        net=str(net),
        test_iter=[recipe.test_iterations],
        test_interval=settings.test_interval,
        test_initialization=False,
        base_lr=settings.rate,
        lr_policy="exp",
        gamma=settings.final_rate ** (1 / iterations),
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        iter_size=settings.iter_size,
        max_iter=iterations,
        display=settings.display,
        average_loss=40,
        snapshot=settings.snapshot,
        snapshot_prefix=str(snapshot_prefix),
        solver_mode=SolverParameter.CPU,
        type="SGD",
        random_seed=settings.seed,  # None leaves a field unset
        clip_gradients=settings.clip_gradients,
    )


class _Tower:
    """The layers of one frame; `previous`, which has v^{t-1} by layer name, makes them those of Eq. 3 at t > 1.

    rates: of `_rates`, None in a net that only runs forward.  share: name the spatial parameters, so that towers with
    the same names share.  marked: rows may be at t = 1, where v^{t-1} is 0: "first/whole" and "first/none" tell which.
    """

    def __init__(self, net, recipe, rates=None, prefix="", previous=None, share=False, classify=True, marked=False):
        self.net, self.recipe, self.model, self.rates = net, recipe, recipe.model, rates
        self.prefix, self.previous, self.share, self.marked = prefix, previous, share, marked
        layers = self.model.layers()
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
            self.net[signal + "/loss"] = L.SoftmaxWithLoss(
                self[layer.name], label, loss_weight=googlenet.LOSS_WEIGHT[layer.signal]
            )
            if phase == TEST:
                self.net[signal + "/accuracy"] = L.Accuracy(self[layer.name], label)

    def _plain(self, layer):
        if isinstance(layer, googlenet.Concatenation):
            return L.Concat(*(self[bottom] for bottom in layer.bottoms))
        bottom = self[layer.bottom]
        if isinstance(layer, googlenet.Pooling):
            return L.Pooling(
                bottom,
                pool=getattr(P.Pooling, layer.method),
                kernel_size=layer.kernel,
                stride=layer.stride,
                pad=layer.pad,
            )
        if isinstance(layer, googlenet.Normalization):
            return L.LRN(bottom, local_size=layer.local_size, alpha=layer.alpha, beta=layer.beta)
        if isinstance(layer, googlenet.Dropout):
            return L.Dropout(bottom, dropout_ratio=layer.ratio)
        return L.InnerProduct(
            bottom,
            num_output=self.model.classes,
            weight_filler=dict(type="xavier"),
            bias_filler=dict(type="constant", value=0),
            **self._spatial_param(layer.name),
        )

    def _recurrent(self, layer):
        net, name = self.net, self.prefix + layer.name
        net[name] = spatial = self._weighted(
            layer,
            self[layer.bottom],
            weight_filler=dict(type=self.recipe.fillers.filler),
            bias_filler=dict(type="constant", value=self.recipe.fillers.bias),
            **self._spatial_param(layer.name),
        )
        if self.previous is not None:
            spatial.fn.params["name"] = name
            net[name + "/spatial"] = spatial
            temporal = self._weighted(
                layer.temporal(),
                self.previous[layer.name],
                name=name + "/temporal",
                weight_filler=dict(type=self.recipe.fillers.temporal_filler),
                **self._temporal_param(),
            )
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

    def _spatial_param(self, name):
        """Caffe's `param` of W and b: how fast they learn, and in a pair net the names that the towers share."""
        weight, bias = {}, {}
        if self.rates is not None:
            rate = self.rates[name]
            weight.update(lr_mult=rate, decay_mult=1.0 if rate else 0.0)
            bias.update(lr_mult=2 * rate, decay_mult=0.0)
        if self.share:
            weight["name"], bias["name"] = name + "/weight", name + "/bias"
        return dict(param=[weight, bias]) if weight else {}

    def _temporal_param(self):
        bias = self.model.temporal_bias
        options = dict(bias_filler=dict(type="constant", value=0)) if bias else dict(bias_term=False)
        if self.rates is not None:
            options["param"] = [dict(lr_mult=1.0, decay_mult=1.0), dict(lr_mult=2.0, decay_mult=0.0)][: 1 + bias]
            if self.recipe.learning.cut_gradient or self.marked:
                options["propagate_down"] = [False]
        return options


def _rates(recipe, stage, temporal, fresh):
    return spatial_rates(recipe.model.layers(), stage, temporal, recipe.learning.spatial_rate, fresh)


def _pair(net, recipe, rates, classify_previous):
    previous = _Tower(net, recipe, rates, PREVIOUS, share=True, classify=classify_previous)
    return previous, _Tower(net, recipe, rates, previous=previous, share=True)


def _recurrent_tower(net, recipe, rates):
    """Add the layers that recall v^{t-1} and those of frame t; return its tower."""
    model, shapes = recipe.model, googlenet.shapes(recipe.model.layers(), recipe.model.channels, recipe.model.size)
    states = [
        shapes[layer.name][: 1 if isinstance(layer, googlenet.FullyConnected) else 3] for layer in _recurrent(model)
    ]
    *recalled, net["state"] = L.Python(
        net["first"],
        name="state/recall",
        module="layers.temporal_state",
        layer="RecallState",
        param_str=json.dumps(dict(shapes=states)),
        ntop=len(states) + 1,
    )
    previous = {layer.name: top for layer, top in zip(_recurrent(model), recalled)}
    for name, top in previous.items():
        net[PREVIOUS + name] = top
    if model.combine == "average":
        net["first/whole"] = L.Power(net["first"], scale=1, shift=1)  # 2 where t = 1, which undoes the halving
    if model.temporal_bias:
        net["first/none"] = L.Power(net["first"], scale=-1, shift=1)  # 0 where t = 1, which has no temporal part
    return _Tower(net, recipe, rates, previous=previous, marked=True)


def _keep(net, model):
    """Add the layer at the end of a recurrent net that keeps v^t."""
    states = [net[layer.name] for layer in _recurrent(model)]
    net["state/keep"] = L.Python(*states, net["state"], ntop=0, module="layers.temporal_state", layer="KeepState")


def _recurrent(model):
    return [layer for layer in model.layers() if isinstance(layer, googlenet.RECURRENT)]


def _input(net, recipe, pairs, phase, pair):
    """Add the layers that read pairs; return the label."""
    model, data, mean, tops = recipe.model, recipe.data, list(recipe.mean(crops.MEANS)), [PREVIOUS + "frame", "frame"]
    if data.encoding == "raw" and model.channels != flow.CHANNELS:  # Caffe would mirror flow without negating x
        net["pair"], net["label"] = L.Data(
            source=str(pairs),
            backend=P.Data.LMDB,
            batch_size=data.batch,
            ntop=2,
            transform_param=dict(crop_size=model.size, mirror=phase == TRAIN, mean_value=mean * 2, scale=data.scale),
        )
        net[tops[0]], net[tops[1]] = L.Slice(net["pair"], axis=1, slice_point=[model.channels], ntop=2)
        if not pair:
            net["unused"] = L.Silence(net[tops[0]], ntop=0)
        return net["label"]
    if model.channels not in crops.MEANS:
        raise InputError(f"channels: jpeg pairs have 3 (images) or 2 (flow), not {model.channels}; use raw pairs")
    net["pair"], net["label"] = L.Data(source=str(pairs), backend=P.Data.LMDB, batch_size=data.batch, ntop=2)
    options = dict(size=model.size, mean=mean, scale=data.scale, together=data.together, **_drawn(recipe))
    augment = dict(module="layers.pair_augment", layer="PairAugment", param_str=json.dumps(options))
    if pair:
        net[tops[0]], net[tops[1]] = L.Python(net["pair"], ntop=2, **augment)
    else:
        net[tops[1]] = L.Python(net["pair"], **augment)
    return net["label"]


def _drawn(recipe):
    """Return the options of a layer that say how it draws its crops, where they are not the defaults."""
    crop = {} if recipe.data.crop == "random" else {"crop": recipe.data.crop}
    return crop if recipe.solver.seed is None else {**crop, "seed": recipe.solver.seed}


def _deploy_input(model, batch, *names):
    net = caffe.NetSpec()
    for name in names:
        net[name] = L.Input(shape=dict(dim=[batch, model.channels, model.size, model.size]))
    return net


def _named(net, name):
    parameter = net.to_proto()
    parameter.name = name
    return parameter
