"""rcnn/nets/caffe_net.py: what a deploy net run by Caffe is, and what is none."""

import re

import caffe
import numpy as np
import pytest
from nets import Tiny
from random_nets import write_tiny

from rcnn.files import InputError
from rcnn.nets.caffe_net import CaffeNetwork


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("nets"), Tiny(classes=4, size=24))


@pytest.mark.parametrize("kind", ["frame", "pair", "recurrent"])
def test_what_a_net_tells(nets, kind):
    network = CaffeNetwork(getattr(nets, kind), nets.cnn if kind == "frame" else nets.rcnn)
    assert (network.kind, network.size, network.channels, network.classes) == (kind, 24, 3, 4)
    assert network.signals == ["low", "high"] and network.combine == (None if kind == "frame" else "average")


def without(nets, path, *layers):
    """Write the pair net's caffemodel, which has both towers, without some layers; return its path."""
    made = caffe.Net(str(nets.pair), caffe.TEST, weights=str(nets.rcnn))
    made.save(str(path))
    message = caffe.proto.caffe_pb2.NetParameter.FromString(path.read_bytes())
    kept = [layer for layer in message.layer if layer.name not in layers]
    assert len(kept) == len(message.layer) - len(layers)
    del message.layer[:]
    message.layer.extend(kept)
    path.write_bytes(message.SerializeToString())
    return path


def test_shared_layers_need_not_be_in_the_weights(nets, tmp_path):
    less = without(nets, tmp_path / "less.caffemodel", "one/5x5", "previous/two/3x3")
    frames = np.random.default_rng(1).normal(size=(2, 2, 3, 24, 24)).astype(np.float32)
    assert np.array_equal(*(CaffeNetwork(nets.pair, path).forward_pair(*frames) for path in (nets.rcnn, less)))
    lacking = without(nets, tmp_path / "lacking.caffemodel", "two/3x3/temporal", "three/fc", "previous/three/fc")
    with pytest.raises(InputError, match="lacks 3 of the net's layers, the first is previous/three/fc"):
        CaffeNetwork(nets.pair, lacking)


@pytest.mark.parametrize(
    "kind, pattern, new, said",
    [
        ("pair", "layer {", "layer", "bad.prototxt does not parse: "),
        ("pair", "(?s)layer.*", "", "bad.prototxt has no layer"),
        ("frame", '"frame"', '"data"', "has inputs data; a deploy net has frame, previous/frame and frame, or frame"),
        ("pair", '"previous/low"', '"before/low"', "lacks previous/ outputs, the scores of a video's first frame"),
        ("frame", '"(low|high)"', r'"a\1"', "has none of the outputs low, medium, high"),
        ("frame", "dim: 24", "dim: 20", "shape .* for layer one/classifier, the net has .*; are width, input size"),
        ("pair", "bias_term: false", "bias_term: true", "has 1 parameters for layer one/5x5/temporal, the net has 2"),
        ("pair", "coeff: 0.5", "coeff: 1", "made with --combine average, the net has sum; give the net that"),
    ],
)
def test_a_net_that_is_none_or_not_of_the_weights(nets, tmp_path, kind, pattern, new, said):
    bad, text = tmp_path / "bad.prototxt", getattr(nets, kind).read_text()
    bad.write_text(re.sub(pattern, new, text))
    with pytest.raises(InputError, match=said) as error:
        assert CaffeNetwork(bad, nets.rcnn).combine
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dims, said", [((4, 24, 24), "takes 4 x 24 x 24"), ((3, 24, 20), "takes 3 x 24 x 20")])
def test_frames_that_no_lmdb_has(nets, tmp_path, dims, said):
    path, shape = tmp_path / "odd.prototxt", "dim: 1 " + " ".join(f"dim: {side}" for side in dims)
    path.write_text(re.sub(r"dim: 1\s+dim: 3\s+dim: 24\s+dim: 24", shape, nets.frame.read_text()))
    caffe.Net(str(path), caffe.TEST).save(str(tmp_path / "odd.caffemodel"))
    with pytest.raises(InputError, match=said + r" frames, not 3 x size x size \(images\) or 2 x"):
        CaffeNetwork(path, tmp_path / "odd.caffemodel")


def test_files_that_are_not_there(nets):
    with pytest.raises(InputError, match="net: no such file: gone"):
        CaffeNetwork("gone", nets.rcnn)
    with pytest.raises(InputError, match="weights: no such file: gone"):
        CaffeNetwork(nets.pair, "gone")
