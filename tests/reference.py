r"""One step of RCNN-r in float64 NumPy, forward and backward, from the paper's equations alone.

Primitives, the RCNN layer, and a network small enough to write down, `tower` and `tower_gradients`:

    frame -> one/5x5 (stride 2) -> one/pool (max 3/2) -> two/3x3 -> three/fc -> three/classifier ("high", weight 1)
                                                \-> one/classifier ("low", weight 0.3)

Parameters are a dictionary: "one/5x5/weight", "one/5x5/bias", "one/5x5/temporal", "one/5x5/temporal_bias", ...
"""

import numpy as np

KERNELS = {"one/5x5": dict(stride=2, pad=2), "two/3x3": dict(stride=1, pad=1), "three/fc": None}
HEADS = {"one/classifier": ("one/pool", 0.3), "three/classifier": ("three/fc", 1.0)}


def linear(x, weight, kernel):
    """Return weight * x: a convolution (kernel: dict of stride and pad) or, with None, an inner product of all of x."""
    if kernel is None:
        return x.reshape(len(x), -1) @ weight.T
    padded = np.pad(x, ((0, 0), (0, 0), (kernel["pad"],) * 2, (kernel["pad"],) * 2))
    height, width = ((side - size) // kernel["stride"] + 1 for side, size in zip(padded.shape[2:], weight.shape[2:]))
    y = np.zeros((len(x), len(weight), height, width))
    for (row, column), window in _windows(padded, weight.shape[2:], kernel["stride"], height, width):
        y += np.einsum("nihw,oi->nohw", window, weight[:, :, row, column])
    return y


def linear_gradients(x, weight, kernel, dy):
    """Return the gradients of `linear` into x and into weight."""
    if kernel is None:
        return (dy @ weight).reshape(x.shape), dy.T @ x.reshape(len(x), -1)
    pad = kernel["pad"]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    size, stride = weight.shape[2:], kernel["stride"]
    into = dict(_windows(dpadded, size, stride, *dy.shape[2:]))
    for (row, column), window in _windows(padded, size, stride, *dy.shape[2:]):
        dweight[:, :, row, column] = np.einsum("nohw,nihw->oi", dy, window)
        into[row, column][...] += np.einsum("nohw,oi->nihw", dy, weight[:, :, row, column])
    return dpadded[:, :, pad : dpadded.shape[2] - pad, pad : dpadded.shape[3] - pad], dweight


def _windows(padded, size, stride, height, width):
    """Yield each place of the kernel with the view of what it meets, N x channels x height x width."""
    for row in range(size[0]):
        for column in range(size[1]):
            yield (
                (row, column),
                padded[
                    :,
                    :,
                    row : row + stride * (height - 1) + 1 : stride,
                    column : column + stride * (width - 1) + 1 : stride,
                ],
            )


def max_pool(x, size=3, stride=2):
    """Return the maxima, and for each the flat place in its map where it was; windows stay inside the map."""
    number, channels, height, width = x.shape
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    y, place = np.zeros((number, channels, rows, columns)), np.zeros((number, channels, rows, columns), int)
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            window = x[:, :, top : top + size, left : left + size].reshape(number, channels, -1)
            best = window.argmax(2)
            y[:, :, row, column] = window.max(2)
            place[:, :, row, column] = (top + best // size) * width + left + best % size
    return y, place


def max_pool_gradient(shape, place, dy):
    """Return the gradient of `max_pool` into its input of `shape`."""
    dx = np.zeros((*shape[:2], shape[2] * shape[3]))
    number, channel = np.indices(shape[:2])
    for row in range(dy.shape[2]):
        for column in range(dy.shape[3]):
            dx[number, channel, place[:, :, row, column]] += dy[:, :, row, column]
    return dx.reshape(shape)


def softmax(scores):
    """Return the probabilities of N x classes scores."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def softmax_loss(scores, labels):
    """Return the mean cross entropy and its gradient into the scores."""
    probabilities, rows = softmax(scores), np.arange(len(scores))
    gradient = probabilities.copy()
    gradient[rows, labels] -= 1
    return -np.log(probabilities[rows, labels]).mean(), gradient / len(scores)


def _per_channel(bias, values):
    return bias.reshape(1, -1, *(1,) * (values.ndim - 2))


def layer(parameters, name, below, before, combine):
    """Return v^{t,l} of Eq. 3-4.

    below: v^{t,l-1}; before: v^{t-1,l}, None at t = 1.  combine: "sum", Eq. 3 as printed, or "average", half of it for
    t > 1.
    """
    a = linear(below, parameters[name + "/weight"], KERNELS[name])
    a = a + _per_channel(parameters[name + "/bias"], a)
    if before is not None:
        temporal = parameters[name + "/temporal"]
        across = linear(before, temporal, KERNELS[name] and dict(stride=1, pad=temporal.shape[2] // 2))
        if name + "/temporal_bias" in parameters:
            across = across + _per_channel(parameters[name + "/temporal_bias"], across)
        a = (a + across) * (0.5 if combine == "average" else 1)
    return np.maximum(a, 0)


def layer_gradients(parameters, name, below, before, combine, v, dv):
    """Return dL/dv^{t,l-1} (Eq. 5), dL/dv^{t-1,l} (cut by Eq. 6; None at t = 1), the parameters' gradients (Eq. 7-9).

    v: what `layer` returned; dv: dL/dv^{t,l}.
    """
    da = (v > 0) * dv
    if before is not None and combine == "average":
        da = da / 2
    axes = (0, 2, 3)[: da.ndim - 1]
    dbelow, dweight = linear_gradients(below, parameters[name + "/weight"], KERNELS[name], da)
    gradients = {name + "/weight": dweight, name + "/bias": da.sum(axes)}
    if before is None:
        return dbelow, None, gradients
    temporal = parameters[name + "/temporal"]
    dbefore, gradients[name + "/temporal"] = linear_gradients(
        before, temporal, KERNELS[name] and dict(stride=1, pad=temporal.shape[2] // 2), da
    )
    if name + "/temporal_bias" in parameters:
        gradients[name + "/temporal_bias"] = da.sum(axes)
    return dbelow, dbefore, gradients


def tower(parameters, frame, before=None, combine="average"):
    """Return every activation and score of one frame; before: those of the frame before, None at t = 1."""
    before = before or dict.fromkeys(KERNELS)
    v = {"frame": frame}
    v["one/5x5"] = layer(parameters, "one/5x5", frame, before["one/5x5"], combine)
    v["one/pool"], v["place"] = max_pool(v["one/5x5"])
    v["two/3x3"] = layer(parameters, "two/3x3", v["one/pool"], before["two/3x3"], combine)
    v["three/fc"] = layer(parameters, "three/fc", v["two/3x3"], before["three/fc"], combine)
    for head, (bottom, _) in HEADS.items():
        v[head] = linear(v[bottom], parameters[head + "/weight"], None) + parameters[head + "/bias"]
    return v


def tower_gradients(parameters, v, before, combine, labels=None, arriving=None):
    """Return (into the frame before, of the parameters, into the activations) of one tower's loss.

    labels: None for a tower without a loss.  arriving: dL/dv of this tower's RCNN layers from the next frame's tower.
    """
    dv = {name: np.zeros_like(v[name]) for name in ("frame", "one/5x5", "one/pool", "two/3x3", "three/fc")}
    gradients, into_before = {}, {}
    for name, value in (arriving or {}).items():
        dv[name] += value
    if labels is not None:
        for head, (bottom, weight) in HEADS.items():
            dscores = weight * softmax_loss(v[head], labels)[1]
            into, gradients[head + "/weight"] = linear_gradients(v[bottom], parameters[head + "/weight"], None, dscores)
            gradients[head + "/bias"] = dscores.sum(0)
            dv[bottom] += into
    for name, bottom in (("three/fc", "two/3x3"), ("two/3x3", "one/pool"), ("one/5x5", "frame")):
        if name == "one/5x5":
            dv[name] += max_pool_gradient(v[name].shape, v["place"], dv["one/pool"])
        dbelow, into_before[name], own = layer_gradients(
            parameters, name, v[bottom], before and before[name], combine, v[name], dv[name]
        )
        dv[bottom] += dbelow
        gradients.update(own)
    return into_before, gradients, dv


def step(parameters, previous, frame, labels, *, combine="average", cut=True, previous_loss=False):
    """Return one iteration of RCNN-r (Sec. 2.3) as a dictionary.

    loss: at frame t, and with previous_loss also at frame t-1.  before, now: the towers' activations.
    gradients: of the parameters.  d_before, d_now: of the activations; d_before is None where nothing goes back into
    frame t-1 (Eq. 6).
    """
    before = tower(parameters, previous)
    now = tower(parameters, frame, before, combine)
    into_before, gradients, d_now = tower_gradients(parameters, now, before, combine, labels)
    loss, d_before = tower_loss(now, labels), None
    if previous_loss:
        loss += tower_loss(before, labels)
    if previous_loss or not cut:
        _, more, d_before = tower_gradients(
            parameters, before, None, combine, labels if previous_loss else None, None if cut else into_before
        )
        for name, value in more.items():
            gradients[name] = gradients[name] + value
    return dict(loss=loss, before=before, now=now, gradients=gradients, d_before=d_before, d_now=d_now)


def tower_loss(v, labels):
    """Return the weighted sum of a tower's losses."""
    return sum(weight * softmax_loss(v[head], labels)[0] for head, (_, weight) in HEADS.items())
