"""rcnn/nets/weights.py: what is copied by name, halved, left fresh, and refused."""

import numpy as np
import pytest
from caffe.proto import caffe_pb2

from rcnn import googlenet
from rcnn.files import InputError
from rcnn.nets import caffemodel, protos, weights
from rcnn.nets import prototxt as net
from rcnn.recipe import Recipe

CLASSES = 5
RCNN = net.Model(classes=CLASSES, width=0.05, size=48)
SUM = net.Model(classes=CLASSES, width=0.05, size=48, combine="sum")


def written(path, message):
    path.write_text(str(message))
    return path


@pytest.fixture(scope="module")
def rcnn(tmp_path_factory):
    """The path of an RCNN's deploy net that averages."""
    return written(tmp_path_factory.mktemp("nets") / "deploy.prototxt", net.deploy_rcnn_r(RCNN))


@pytest.fixture(scope="module")
def rcnn_sum(tmp_path_factory):
    """The path of an RCNN's deploy net that sums."""
    return written(tmp_path_factory.mktemp("nets") / "deploy.prototxt", net.deploy_rcnn_r(SUM))


def old_googlenet(model=RCNN, classifier="classifier", classes=1000):
    """Return a caffemodel in the form of BVLC's released one: field `layers`, four dimensions, 1000 classes."""
    random, message = np.random.default_rng(3), caffe_pb2.NetParameter()
    shapes = googlenet.shapes(model.layers(), 3, model.size)
    for layer in model.layers():
        if isinstance(layer, googlenet.Convolution):
            shape = (layer.channels, shapes[layer.bottom][0], layer.kernel, layer.kernel)
        elif isinstance(layer, googlenet.FullyConnected) and layer.pretrained:
            shape = (1, 1, layer.channels, int(np.prod(shapes[layer.bottom])))
        elif isinstance(layer, googlenet.Classifier):
            shape = (1, 1, classes, shapes[layer.bottom][0])
        else:
            message.layers.add(name=layer.name)
            continue
        old = message.layers.add(name=layer.name.replace("classifier_video", classifier))
        outputs = shape[0] if shape[0] > 1 else shape[2]
        for dims in (shape, (1, 1, 1, outputs)):
            blob = old.blobs.add(num=dims[0], channels=dims[1], height=dims[2], width=dims[3])
            blob.data.extend(random.normal(size=int(np.prod(dims))).astype(np.float32))
    return message


def values(message):
    """Return {(layer, part): flat values} of a caffemodel's message."""
    return {
        (layer.name, part): np.array(blob.data)
        for layer in [*message.layer, *message.layers]
        for part, blob in enumerate(layer.blobs)
    }


@pytest.fixture
def parameters(tmp_path):
    """A function that returns the Parameters of a caffemodel's message, by way of a file."""

    def call(message):
        (tmp_path / "source.caffemodel").write_bytes(message.SerializeToString())
        return caffemodel.read(tmp_path / "source.caffemodel")

    return call


def states(rows):
    return {(row.layer, row.part): row.state for row in rows}


def test_a_googlenet_of_the_old_format_fills_both_towers_and_leaves_the_rest_fresh(rcnn, parameters):
    made, message = weights.build(rcnn, 1)
    before = {name: [blob.data.copy() for blob in blobs] for name, blobs in made.params.items()}
    source = old_googlenet()
    rows = weights.copy(made, message, parameters(source))
    given = values(source)
    for name, blobs in made.params.items():
        plain = name.replace("previous/", "")
        for part, blob in enumerate(blobs):
            expected = given.get((plain, part), before[name][part].ravel())
            np.testing.assert_array_equal(blob.data.ravel(), np.float32(expected), err_msg=name)
    for (layer, part), state in states(rows).items():
        fresh = layer.endswith(("/temporal", "classifier_video")) or layer == "loss3/fc"
        unused = layer.endswith("classifier")
        assert state == ("fresh" if fresh else "unused" if unused else "copied"), layer
    assert len(rows) == len(states(rows)), "each parameter is listed once"
    assert {row.layer for row in rows} == {name.replace("previous/", "") for name in made.params} | {
        f"loss{number}/classifier" for number in (1, 2, 3)
    }
    conv1 = rows[0]
    assert conv1 == ("copied", "conv1/7x7_s2", 0, (3, 3, 7, 7), "")
    temporal = [row for row in rows if row.layer == "conv1/7x7_s2/temporal"]
    assert temporal == [("fresh", "conv1/7x7_s2/temporal", 0, (3, 3, 3, 3), "xavier")]
    assert before["conv1/7x7_s2/temporal"][0].std() > 0


def test_sum_halves_the_layers_that_have_a_temporal_part_and_no_classifier(rcnn_sum, parameters):
    made, message = weights.build(rcnn_sum, 1)
    source = old_googlenet(classifier="classifier_video", classes=CLASSES)
    rows = weights.copy(made, message, parameters(source))
    for (layer, part), given in values(source).items():
        factor = np.float32(1 if layer.endswith("classifier_video") else 0.5)
        for prefix in ("", "previous/"):
            found = made.params[prefix + layer][part].data
            np.testing.assert_array_equal(found.ravel(), np.float32(given) * factor)
        assert states(rows)[layer, part] == ("copied" if factor == 1 else "halved")


def test_unhalved_takes_all_as_it_is(rcnn_sum, parameters):
    made, message = weights.build(rcnn_sum, 1)
    source = old_googlenet()
    assert "halved" not in {row.state for row in weights.copy(made, message, parameters(source), unhalved=True)}
    np.testing.assert_array_equal(made.params["conv2/3x3"][1].data, np.float32(values(source)["conv2/3x3", 1]))


def test_the_net_says_how_it_combines(rcnn, rcnn_sum, tmp_path):
    assert weights.combine_of(protos.read_net(rcnn)) == "average"
    assert weights.combine_of(protos.read_net(rcnn_sum)) == "sum"
    assert weights.combine_of(net.deploy_cnn(RCNN)) is None
    odd = protos.read_net(rcnn)
    [layer for layer in odd.layer if layer.type == "Eltwise"][3].eltwise_param.coeff[:] = [1.0, 0.5]
    with pytest.raises(InputError, match="coefficients"):
        weights.combine_of(odd)


def test_a_snapshot_of_an_rcnn_gives_all_its_parameters_as_they_are(rcnn_sum, tmp_path):
    first, _ = weights.build(rcnn_sum, 1)
    first.save(str(tmp_path / "rcnn.caffemodel"))
    made, message = weights.build(rcnn_sum, 2)
    rows = weights.copy(made, message, caffemodel.read(tmp_path / "rcnn.caffemodel"))
    assert {row.state for row in rows} == {"copied"}
    for name, blobs in first.params.items():
        for one, two in zip(blobs, made.params[name]):
            np.testing.assert_array_equal(one.data, two.data, err_msg=name)


def test_a_snapshot_of_an_rcnn_that_combines_otherwise_is_refused(rcnn, rcnn_sum, tmp_path):
    weights.build(rcnn, 1)[0].save(str(tmp_path / "rcnn.caffemodel"))
    made, message = weights.build(rcnn_sum, 1)
    with pytest.raises(InputError, match="made with --combine average, the net has sum"):
        weights.copy(made, message, caffemodel.read(tmp_path / "rcnn.caffemodel"))


def test_an_rcnn_may_be_the_source_of_a_single_frame_net(rcnn, tmp_path):
    weights.build(rcnn, 1)[0].save(str(tmp_path / "rcnn.caffemodel"))
    made, message = weights.build(written(tmp_path / "cnn.prototxt", net.deploy_cnn(RCNN)), 2)
    rows = weights.copy(made, message, caffemodel.read(tmp_path / "rcnn.caffemodel"))
    assert {row.state for row in rows if not row.layer.endswith("/temporal")} == {"copied"}
    assert {row.state for row in rows if row.layer.endswith("/temporal")} == {"unused"}


def test_a_shape_that_differs_is_refused_with_both_shapes(rcnn, parameters):
    made, message = weights.build(rcnn, 1)
    wide = old_googlenet(net.Model(width=0.1, size=48))
    with pytest.raises(InputError) as error:
        weights.copy(made, message, parameters(wide))
    assert "layer conv1/7x7_s2: W is 6 x 3 x 7 x 7 in the weights and 3 x 3 x 7 x 7 in the net" in str(error.value)
    assert "--fresh conv1/7x7_s2" in str(error.value) and "\n" not in str(error.value)


def test_another_number_of_blobs_is_refused(rcnn, parameters):
    made, message = weights.build(rcnn, 1)
    source = old_googlenet()
    del source.layers[0].blobs[1]
    with pytest.raises(InputError, match="conv1/7x7_s2: the weights have 1 blobs, the net has 2"):
        weights.copy(made, message, parameters(source))


def test_a_layer_named_fresh_stays_as_its_filler_made_it(rcnn, parameters):
    made, message = weights.build(rcnn, 1)
    before = made.params["loss1/classifier_video"][0].data.copy()
    source = old_googlenet(classifier="classifier_video", classes=CLASSES + 1)
    with pytest.raises(InputError, match="loss1/classifier_video"):
        weights.copy(made, message, parameters(source))
    heads = [f"loss{number}/classifier_video" for number in (1, 2, 3)]
    rows = weights.copy(made, message, parameters(source), heads)
    np.testing.assert_array_equal(made.params["loss1/classifier_video"][0].data, before)
    assert sorted(row.state for row in rows if row.layer == heads[0]) == ["fresh", "fresh", "unused", "unused"]
    with pytest.raises(InputError, match="--fresh: the net has no layer loss9"):
        weights.copy(made, message, parameters(source), ["loss9"])


def test_weights_that_share_no_name_are_refused(rcnn, parameters):
    made, message = weights.build(rcnn, 1)
    source = caffe_pb2.NetParameter()
    source.layer.add(name="fc6").blobs.add(shape=dict(dim=[1]), data=[0.0])
    with pytest.raises(InputError, match="share no layer's name with the net: they have fc6; the net has conv1/7x7_s2"):
        weights.copy(made, message, parameters(source))


def test_a_net_that_reads_data_is_refused(tmp_path):
    train = net.rcnn_r(Recipe(model=RCNN), "pairs.lmdb", net.TRAIN)
    with pytest.raises(InputError, match="layer pair.*give the deploy net"):
        weights.build(written(tmp_path / "train.prototxt", train), 1)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_caffe_cannot_take_is_refused(rcnn, seed):
    with pytest.raises(InputError, match="--seed"):
        weights.build(rcnn, seed)


def test_the_seed_decides_the_fillers(rcnn):
    name = "conv2/3x3/temporal"
    one, same, other = (weights.build(rcnn, seed)[0].params[name][0].data.copy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_table_is_aligned_and_totals_all():
    rows = [
        weights.Blob("copied", "conv1", 0, (4, 3, 7, 7)),
        weights.Blob("unused", "fc", 1, (1, 1, 1, 10)),
        weights.Blob("fresh", "conv1/temporal", 0, (4, 4, 3, 3), "xavier"),
    ]
    assert weights.table(rows).splitlines() == [
        "copied  conv1           W  4 x 3 x 7 x 7",
        "unused  fc              b  1 x 1 x 1 x 10",
        "fresh   conv1/temporal  W  4 x 4 x 3 x 3   xavier",
        "1 blobs copied (588 numbers), 0 blobs halved (0 numbers), 1 blobs fresh (144 numbers), "
        "1 blobs unused (10 numbers)",
    ]
