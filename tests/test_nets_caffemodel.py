"""rcnn/nets/caffemodel.py against pycaffe's own reading and writing."""

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from nets import build, by_name, randomize
from random_nets import MODELS, old_format, parameters

from rcnn.files import InputError
from rcnn.nets import caffemodel
from rcnn.nets import prototxt as net
from rcnn.nets.caffe_net import fill
from rcnn.nets.model import check, infer

MODEL = MODELS["33 average"]


@pytest.fixture(params=["average", "sum"])
def snapshot(request, tmp_path):
    """(path, caffe.Net) of a pair net with random weights, as Caffe saves it: what the towers share is there twice."""
    made = build(net.deploy_rcnn_r(net.Model(classes=4, width=0.125, size=33, combine=request.param)), tmp_path)
    randomize(made, np.random.default_rng(1))
    made.save(str(tmp_path / "snapshot.caffemodel"))
    return tmp_path / "snapshot.caffemodel", made, request.param


def test_it_reads_what_caffe_saved(snapshot):
    path, made, combine = snapshot
    parameters = caffemodel.read(path)
    assert parameters.combine == combine
    assert {name: [value.shape for value in values] for name, values in parameters.arrays.items()} == {
        name: [tuple(blob.shape) for blob in blobs]
        for name, blobs in made.params.items()
        if not name.startswith("previous/")
    }
    for name, values in parameters.arrays.items():
        for value, blob in zip(values, made.params[name]):
            assert value.dtype == np.float32 and value.tobytes() == blob.data.tobytes()


def test_a_round_trip_keeps_every_bit_and_caffe_loads_it(snapshot, tmp_path):
    path, made, combine = snapshot
    arrays = caffemodel.read(path).arrays
    model = infer(arrays, combine, 33)
    check(arrays, model)
    caffemodel.write(tmp_path / "one.caffemodel", arrays, model)
    again = caffemodel.read(tmp_path / "one.caffemodel")
    caffemodel.write(tmp_path / "two.caffemodel", again.arrays, model)
    assert (tmp_path / "one.caffemodel").read_bytes() == (tmp_path / "two.caffemodel").read_bytes()
    assert again.combine == combine
    loaded = build(net.deploy_rcnn_r(model), tmp_path, caffe.TEST, tmp_path / "one.caffemodel")
    for name, values in by_name(made).items():
        assert by_name(loaded)[name].tobytes() == values.tobytes()


def test_the_old_format_of_bvlc_googlenet(tmp_path):
    arrays, _ = parameters(MODEL, "frame")
    arrays = {
        name.replace("classifier_video", "classifier"): values for name, values in arrays.items() if name != "loss3/fc"
    }
    (tmp_path / "old.caffemodel").write_bytes(old_format(arrays).SerializeToString())
    old = caffemodel.read(tmp_path / "old.caffemodel")
    assert old.combine is None and old.arrays.keys() == arrays.keys()
    for name, values in arrays.items():
        for one, other in zip(values, old.arrays[name]):
            assert one.shape == other.shape and one.tobytes() == other.tobytes()
    model = infer(old.arrays, size=33)
    check(old.arrays, model)
    assert model.classifier == "classifier" and not model.high_rnn and not model.temporal


def change(name, edit):
    """Return a function that edits the first blob of a message's layer."""
    return lambda message: edit(next(layer for layer in message.layer if layer.name == name).blobs[0].data)


def uneven(message):
    next(layer for layer in message.layer if layer.type == "Eltwise").eltwise_param.coeff[:] = [0.25, 0.75]


@pytest.mark.parametrize(
    "edit, said",
    [
        (lambda message: message.SerializeToString()[:20000], "cut short"),
        (lambda message: b"# A prototxt\nname: 'net'\n", "cut short or not Caffe's binary format"),
        (lambda message: b"", "holds no parameters"),
        (change("conv2/3x3", lambda data: data.pop() and None), "damaged in layer conv2/3x3"),
        (change("conv2/3x3", lambda data: data.__setitem__(5, np.inf)), "conv2/3x3 that are not finite"),
        (change("conv2/3x3", lambda data: data.__setitem__(5, 9)), "conv2/3x3 twice with different values"),
        (uneven, "bad.caffemodel adds spatial and temporal parts with coefficients"),
    ],
)
def test_what_is_no_caffemodel(snapshot, tmp_path, edit, said):
    message = caffe_pb2.NetParameter.FromString(snapshot[0].read_bytes())
    content = edit(message)
    path = tmp_path / "bad.caffemodel"
    path.write_bytes(message.SerializeToString() if content is None else content)
    with pytest.raises(InputError, match=said) as error:
        assert caffemodel.read(path).combine
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["layer", "V1 layer", "V1 layer without a type"])
@pytest.mark.parametrize(
    "shape, stored, fits",
    [
        ((4, 6), (1, 1, 4, 6), True),
        ((4, 6), (4, 6, 1, 1), False),
        ((1, 6), (1, 1, 1, 6), True),
        ((4, 6), (4, 6), True),
        ((4, 6), (4, 1, 6), False),
    ],
)
def test_shapes_are_equal_where_caffe_says_so(tmp_path, shape, stored, fits, kind):
    """Caffe's copy_from ends the process where shapes differ, so it judges those that we accept."""
    message = caffe_pb2.NetParameter()
    layer = message.layers.add(name="fc") if "V1" in kind else message.layer.add(name="fc", type="InnerProduct")
    if kind == "V1 layer":
        layer.type = caffe_pb2.V1LayerParameter.INNER_PRODUCT
    blob = layer.blobs.add(data=np.arange(np.prod(stored), dtype=np.float32))
    if len(stored) == 4:
        blob.num, blob.channels, blob.height, blob.width = stored
    else:
        blob.shape.dim.extend(stored)
    (tmp_path / "fc.caffemodel").write_bytes(message.SerializeToString())
    (tmp_path / "net.prototxt").write_text(f"""
        layer {{ name: "in" type: "Input" top: "in" input_param {{ shape {{ dim: 1 dim: {shape[1]} }} }} }}
        layer {{ name: "fc" type: "InnerProduct" bottom: "in" top: "fc"
          inner_product_param {{ num_output: {shape[0]} bias_term: false }} }}""")
    parameters = caffemodel.read(tmp_path / "fc.caffemodel")
    assert caffemodel.fits(shape, parameters.arrays["fc"][0]) == fits
    made = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    if not fits:
        with pytest.raises(InputError, match="for layer fc, the net has"):
            fill(made, parameters)
        return
    fill(made, parameters)
    ours = made.params["fc"][0].data.copy()
    made.params["fc"][0].data[...] = 0
    if kind != "V1 layer without a type":  # which Caffe does not upgrade
        made.copy_from(str(tmp_path / "fc.caffemodel"))
        np.testing.assert_array_equal(made.params["fc"][0].data, ours)
    np.testing.assert_array_equal(ours.ravel(), blob.data)


def test_a_solverstate(tmp_path):
    path, state = tmp_path / "s.solverstate", caffe_pb2.SolverState(iter=7, learned_net="n.caffemodel", current_step=2)
    state.history.add(data=[1.0, 2.0]).shape.dim.append(2)
    path.write_bytes(state.SerializeToString())
    state = caffemodel.read_state(path)
    assert (state.iter, state.learned_net, state.current_step) == (7, "n.caffemodel", 2)
    assert state.SerializeToString() == path.read_bytes()
    for content in (path.read_bytes()[:-2], path.read_bytes()[:-5], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="solver state: .* is cut short"):
            caffemodel.read_state(path)
