"""rcnn/nets/weights.py: what is copied by name, halved, left fresh, and refused."""

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from random_nets import old_format

from rcnn.files import InputError
from rcnn.nets import caffemodel, compare, protos, weights
from rcnn.nets import prototxt as net
from rcnn.nets.model import NetModel
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


@pytest.fixture(scope="module")
def snapshot(rcnn):
    """The Parameters of a snapshot of the RCNN that averages, from seed 1."""
    weights.build(rcnn, 1)[0].save(str(rcnn.with_suffix(".caffemodel")))
    return caffemodel.read(rcnn.with_suffix(".caffemodel"))


def old_googlenet(width=RCNN.width, classifier="classifier", classes=1000):
    """Return a caffemodel in the form of BVLC's released one: field `layers`, four dimensions, 1000 classes."""
    settings = dict(classes=classes, size=RCNN.size, temporal=False, classifier=classifier)
    arrays = compare.random_arrays(NetModel(width=width, **settings))
    return old_format({name: values for name, values in arrays.items() if name != "loss3/fc"})


def values(message):
    """Return {(layer, part): flat values} of a caffemodel's message."""
    return {
        (layer.name, part): np.array(blob.data if blob.data else blob.double_data)
        for layer in [*message.layer, *message.layers]
        for part, blob in enumerate(layer.blobs)
    }


@pytest.fixture
def copy(tmp_path):
    """A function that copies a caffemodel's message, by way of a file, into a net; it returns (net, report)."""

    def call(path, message, *options, **named):
        (tmp_path / "source.caffemodel").write_bytes(message.SerializeToString())
        made = weights.build(path, 1)
        return made[0], weights.copy(*made, caffemodel.read(tmp_path / "source.caffemodel"), *options, **named)

    return call


def states(rows):
    return {(row.layer, row.part): row.state for row in rows}


def test_a_googlenet_of_the_old_format_fills_both_towers_and_leaves_the_rest_fresh(rcnn, copy):
    fresh = weights.build(rcnn, 1)[0].params
    made, rows = copy(rcnn, old_googlenet())
    source = values(old_googlenet())
    for name, blobs in made.params.items():
        for part, blob in enumerate(blobs):
            expected = source.get((name.replace("previous/", ""), part), fresh[name][part].data.ravel())
            np.testing.assert_array_equal(blob.data.ravel(), np.float32(expected), err_msg=name)
    for (layer, _), state in states(rows).items():
        own = layer.endswith(("/temporal", "classifier_video")) or layer == "loss3/fc"
        assert state == ("fresh" if own else "unused" if layer.endswith("classifier") else "copied"), layer
    assert len(rows) == len(states(rows)), "each parameter is listed once"
    assert {row.layer for row in rows} == {name.replace("previous/", "") for name in made.params} | {
        f"loss{number}/classifier" for number in (1, 2, 3)
    }
    assert rows[0] == ("copied", "conv1/7x7_s2", 0, (3, 3, 7, 7), "")
    assert ("fresh", "conv1/7x7_s2/temporal", 0, (3, 3, 3, 3), "xavier") in rows
    assert fresh["conv1/7x7_s2/temporal"][0].data.std() > 0


@pytest.mark.parametrize("unhalved", [False, True])
def test_sum_halves_the_layers_that_have_a_temporal_part_and_no_classifier(rcnn_sum, copy, unhalved):
    source = old_googlenet(classifier="classifier_video", classes=CLASSES)
    made, rows = copy(rcnn_sum, source, unhalved=unhalved)
    for (layer, part), array in values(source).items():
        factor = np.float32(1 if unhalved or layer.endswith("classifier_video") else 0.5)
        for prefix in ("", "previous/"):
            np.testing.assert_array_equal(made.params[prefix + layer][part].data.ravel(), np.float32(array) * factor)
        assert states(rows)[layer, part] == ("copied" if factor == 1 else "halved")


def test_the_net_says_how_it_combines(rcnn, rcnn_sum):
    assert [weights.combine_of(protos.read_net(path)) for path in (rcnn, rcnn_sum)] == ["average", "sum"]
    assert weights.combine_of(net.deploy_cnn(RCNN)) is None
    odd = protos.read_net(rcnn)
    [layer for layer in odd.layer if layer.type == "Eltwise"][3].eltwise_param.coeff[:] = [1.0, 0.5]
    with pytest.raises(InputError, match="coefficients"):
        weights.combine_of(odd)


def test_a_snapshot_of_an_rcnn_is_taken_whole(rcnn, rcnn_sum, snapshot, tmp_path):
    """Into a net of its own kind, without halves; the plain CNN leaves its temporal parts."""
    made, message = weights.build(rcnn, 2)
    assert {row.state for row in weights.copy(made, message, snapshot)} == {"copied"}
    for name, blobs in made.params.items():
        for blob, array in zip(blobs, snapshot.arrays[name.replace("previous/", "")]):
            np.testing.assert_array_equal(blob.data, array, err_msg=name)
    with pytest.raises(InputError, match="made with --combine average, the net has sum"):
        weights.copy(*weights.build(rcnn_sum, 1), snapshot)
    rows = weights.copy(*weights.build(written(tmp_path / "cnn.prototxt", net.deploy_cnn(RCNN)), 2), snapshot)
    assert {(row.state, row.layer.endswith("/temporal")) for row in rows} == {("copied", False), ("unused", True)}


def test_a_snapshot_that_sums_is_not_halved(rcnn_sum, tmp_path):
    weights.build(rcnn_sum, 1)[0].save(str(tmp_path / "sum.caffemodel"))
    rows = weights.copy(*weights.build(rcnn_sum, 2), caffemodel.read(tmp_path / "sum.caffemodel"))
    assert {row.state for row in rows} == {"copied"}


def one_blob_less():
    source = old_googlenet()
    del source.layers[1].blobs[1]
    return source


def without(source, *names):
    """Return a message of the old format without the layers whose names begin so."""
    kept = [layer for layer in source.layers if not layer.name.startswith(names)]
    del source.layers[:]
    source.layers.extend(kept)
    return source


def fc6():
    source = caffe_pb2.NetParameter()
    source.layer.add(name="fc6").blobs.add(shape=dict(dim=[1]), data=[0.0])
    return source


@pytest.mark.parametrize(
    "source, fresh, said",
    [
        (
            lambda: old_googlenet(width=0.1),
            (),
            "conv1/7x7_s2: W is 6 x 3 x 7 x 7 in the weights and 3 x 3 x 7 x 7 in the net; .*--fresh conv1/7x7_s2",
        ),
        (one_blob_less, (), "conv1/7x7_s2: the weights have 1 blobs, the net has 2; .*--fresh conv1/7x7_s2"),
        (fc6, (), "shares no layer's name with the net: it has fc6; the net has conv1/7x7_s2"),
        (old_googlenet, ["loss9"], "--fresh: the net has no layer loss9"),
        (
            lambda: without(old_googlenet(), "inception_4c/1x1", "inception_5a/1x1"),
            (),
            "lacks 2 of the net's convolutions, the first is inception_4c/1x1; is it another net's.*--fresh incep",
        ),
    ],
)
def test_weights_that_are_refused(rcnn, copy, source, fresh, said):
    with pytest.raises(InputError, match=said) as error:
        copy(rcnn, source(), fresh)
    assert "\n" not in str(error.value)


HEADS = [f"loss{number}/classifier_video" for number in (1, 2, 3)]


def test_a_layer_named_fresh_stays_as_its_filler_made_it(rcnn, copy):
    made, rows = copy(rcnn, old_googlenet(), ["conv2/3x3"])
    before = weights.build(rcnn, 1)[0].params["conv2/3x3"][0].data
    np.testing.assert_array_equal(made.params["conv2/3x3"][0].data, before)
    assert sorted(row.state for row in rows if row.layer == "conv2/3x3") == ["fresh", "fresh", "unused", "unused"]
    assert "conv2/3x3" in weights.fresh_of(rows)


def test_classifiers_of_other_classes_start_fresh(rcnn, copy):
    made, rows = copy(rcnn, old_googlenet(classifier="classifier_video", classes=CLASSES + 1))
    before = weights.build(rcnn, 1)[0].params[HEADS[0]][0].data
    np.testing.assert_array_equal(made.params[HEADS[0]][0].data, before)
    fresh = [name for name in weights.fresh_of(rows) if not name.endswith("/temporal")]
    assert fresh == [*HEADS[:2], "loss3/fc", HEADS[2]]
    assert weights.unfit_of(rows)[0] == f"{HEADS[0]} (6 x 51 in the weights, 5 x 51 in the net)"
    assert [text.split()[0] for text in weights.unfit_of(rows)] == HEADS


def test_of_a_googlenet_of_another_input_size_only_the_side_heads_fc_start_fresh(copy, tmp_path):
    """BVLC's file is of 224 x 224, where loss1/fc sees 4 x 4 places; of 96 x 96 it sees 1."""
    small = written(tmp_path / "small.prototxt", net.deploy_cnn(net.Model(classes=CLASSES, width=0.05, size=96)))
    source = compare.random_arrays(NetModel(classes=1000, width=0.05, temporal=False, classifier="classifier"))
    _, rows = copy(small, old_format({name: values for name, values in source.items() if name != "loss3/fc"}))
    assert weights.fresh_of(rows) == ["loss1/fc", HEADS[0], "loss2/fc", HEADS[1], "loss3/fc", HEADS[2]]
    assert [text.split()[0] for text in weights.unfit_of(rows)] == ["loss1/fc", "loss2/fc"]


def test_side_heads_that_are_not_there_start_fresh(rcnn, copy):
    _, rows = copy(rcnn, without(old_googlenet(), "loss1/", "loss2/"))
    fresh = [name for name in weights.fresh_of(rows) if not name.endswith("/temporal")]
    assert fresh == [
        *("loss1/conv", "loss1/fc", HEADS[0], "loss2/conv", "loss2/fc", HEADS[1], "loss3/fc", HEADS[2]),
    ]
    assert weights.unfit_of(rows) == []


def test_what_a_start_says_is_fresh_does_not_go_on_as_trained(rcnn, copy, tmp_path):
    """Starting weights of starting weights: their random heads are drawn anew, and are fresh still."""
    made, rows = copy(rcnn, without(old_googlenet(), "loss1/", "loss2/"))
    path = tmp_path / "start.caffemodel"
    made.save(str(path))
    assert caffemodel.read(path).fresh is None
    caffemodel.mark_fresh(path, weights.fresh_of(rows))
    source = caffemodel.read(path)
    assert source.fresh == set(weights.fresh_of(rows))
    again, more = weights.build(rcnn, 2)
    drawn = again.params["loss1/fc"][0].data.copy()
    assert weights.fresh_of(weights.copy(again, more, source)) == weights.fresh_of(rows)
    np.testing.assert_array_equal(again.params["loss1/fc"][0].data, drawn)
    np.testing.assert_array_equal(again.params["conv2/3x3"][0].data, made.params["conv2/3x3"][0].data)
    caffe.Net(str(rcnn), caffe.TEST, weights=str(path))  # Caffe passes over what says so


def test_what_build_refuses(rcnn, tmp_path):
    train = net.rcnn_r(Recipe(model=RCNN), "pairs.lmdb", net.TRAIN)
    with pytest.raises(InputError, match="layer pair.*give the deploy net"):
        weights.build(written(tmp_path / "train.prototxt", train), 1)
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match="--seed"):
            weights.build(rcnn, seed)


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
