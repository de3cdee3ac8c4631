"""The two parts of an RCNN layer (Eq. 3) as RCNN-r's deploy net computes them, for figures and measures of motion."""
import numpy as np

from rcnn.data import crops
from rcnn.command import finite, positive_real
from rcnn.files import InputError


def add_options(parser):
    """Add the options of a program that looks into a layer: net, weights, layer, scale and mean."""
    parser.add_argument("--net", required=True, help="the deploy net's prototxt, of RCNN-r")
    parser.add_argument("--weights", required=True, help="its caffemodel")
    parser.add_argument("--layer", default="conv1/7x7_s2", help="any convolution with a temporal part")
    parser.add_argument("--scale", type=positive_real, default=1.0,
                        help="what the input is multiplied by after the mean is taken off, as in training")
    parser.add_argument("--mean", type=finite, nargs=3, default=list(crops.MEAN), metavar=("B", "G", "R"),
                        help="the mean that is taken off, as in training")


def load(net_path, weights_path):
    """Return (caffe.Net of one pair, what each part is multiplied by before they are added) of a deploy net.

    Raises InputError where it is not RCNN-r's deploy net, for three channels, or the weights are another net's.
    """
    import caffe

    from rcnn.nets.inference import check_weights
    from rcnn.nets.prototxt import PREVIOUS
    from rcnn.nets.protos import read_net, read_weights
    from rcnn.nets.weights import combination
    message = read_net(net_path)
    inputs = {layer.name: tuple(layer.input_param.shape[0].dim) for layer in message.layer
              if layer.type == "Input" and layer.input_param.shape}
    combine = combination(message)
    if combine is None or set(inputs) != {PREVIOUS + "frame", "frame"}:
        raise InputError(f"net: {net_path} has inputs {', '.join(sorted(inputs)) or 'none'} and "
                         f"{'no' if combine is None else 'some'} temporal parts; give RCNN-r's deploy net, which takes "
                         f"{PREVIOUS}frame and frame")
    if inputs["frame"][1] != 3:
        raise InputError(f"net: {net_path} takes frames of {inputs['frame'][1]} channels, not 3")
    weights = read_weights(weights_path)
    if combination(weights) not in (None, combine):
        raise InputError(f"weights: {weights_path} are of an RCNN made with --combine {combination(weights)}, the net "
                         f"has {combine}; give the net that they were trained with")
    net = caffe.Net(str(net_path), caffe.TEST)
    check_weights(message, net, weights, weights_path)
    net.copy_from(str(weights_path))
    return net, 0.5 if combine == "average" else 1.0


def check_images(records):
    """Raise InputError unless an LMDB holds images."""
    if records.channels != 3:
        raise InputError(f"{records.path} holds optical flow; give an LMDB of images")


def parts(net, share, layer, previous, frame):
    """Return the spatial and the temporal part of a layer (Eq. 3), float64 maps x height x width each.

    net, share: of `load`; both parts are multiplied by share.  previous, frame: float32 1 x 3 x size x size.  The blob
    of the layer's own name is after the ReLU, which works in place, so their sum is not to be had from the net.
    """
    from rcnn.nets.prototxt import PREVIOUS
    names = [f"{layer}/{part}" for part in ("spatial", "temporal")]
    recurrent = [name.rsplit("/", 1)[0] for name, blob in net.blobs.items()
                 if name.endswith("/temporal") and len(blob.shape) == 4]
    if layer not in recurrent:
        raise InputError(f"--layer: {layer} is no convolution with a temporal part; the net has {len(recurrent)}, such "
                         f"as {', '.join(recurrent[:3])}")
    for name, values in ((PREVIOUS + "frame", previous), ("frame", frame)):
        net.blobs[name].reshape(*values.shape)
        net.blobs[name].data[...] = values
    net.forward()
    made = [share * net.blobs[name].data[0].astype(np.float64) for name in names]
    if not np.isfinite(made).all():
        raise InputError(f"--layer: the values of {layer} are not finite; is --scale the training's?")
    return made
