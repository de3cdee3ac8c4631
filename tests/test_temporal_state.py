"""layers/temporal_state.py in nets of a few layers: what it keeps, for whom, and what it refuses."""

import caffe
import numpy as np
import pytest

NET = """
layer { name: "frame" type: "Input" top: "frame" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "first" type: "Input" top: "first" input_param { shape { dim: 2 } } }
layer { name: "recall" type: "Python" bottom: "first" top: "before" top: "state"
  python_param { module: "layers.temporal_state" layer: "RecallState" param_str: '{"shapes": [[3]]}' } }
layer { name: "sum" type: "Eltwise" bottom: "frame" bottom: "before" top: "sum" }
layer { name: "keep" type: "Python" bottom: "sum" bottom: "state"
  python_param { module: "layers.temporal_state" layer: "KeepState" } }
"""  # each row counts its frames up since its mark


@pytest.fixture
def make(tmp_path):
    def call(text=NET, phase=caffe.TEST):
        (tmp_path / "net.prototxt").write_text(text)
        return caffe.Net(str(tmp_path / "net.prototxt"), phase)

    return call


def push(net, frame, first):
    net.blobs["frame"].data[...] = np.reshape(frame, (-1, 1))
    net.blobs["first"].data[...] = first
    net.forward()
    return net.blobs["sum"].data.copy()


def test_it_keeps_each_row_until_its_mark(make):
    net = make()
    assert np.array_equal(push(net, [1, 2], [1, 1]), [[1] * 3, [2] * 3])
    assert np.array_equal(push(net, [10, 20], [0, 0]), [[11] * 3, [22] * 3])
    assert np.array_equal(push(net, [100, 200], [0, 1]), [[111] * 3, [200] * 3])
    assert np.array_equal(push(net, [1000, 2000], [1, 0]), [[1000] * 3, [2200] * 3])


def test_before_the_first_pass_the_state_is_zero(make):
    assert np.array_equal(push(make(), [1, 2], [0, 0]), [[1] * 3, [2] * 3])


def test_nets_share_nothing(make):
    """Two of one prototxt, in both phases and in turn, and one that outlives another."""
    one, two = make(), make(phase=caffe.TRAIN)
    push(one, [1, 1], [1, 1])
    push(two, [50, 50], [1, 1])
    assert np.array_equal(push(one, [1, 1], [0, 0]), np.full((2, 3), 2))
    assert np.array_equal(push(two, [1, 1], [0, 0]), np.full((2, 3), 51))
    del two
    make()
    assert np.array_equal(push(one, [1, 1], [0, 0]), np.full((2, 3), 3))


def test_the_batch_changes_between_videos(make):
    net = make()
    push(net, [1, 2], [1, 1])
    net.blobs["frame"].reshape(3, 3)
    net.blobs["first"].reshape(3)
    assert np.array_equal(push(net, [1, 2, 3], [1, 1, 1]), [[1] * 3, [2] * 3, [3] * 3])
    assert np.array_equal(push(net, [1, 2, 3], [0, 0, 1]), [[2] * 3, [4] * 3, [3] * 3])


@pytest.mark.parametrize(
    "old, new, said",
    [
        ('{"shapes": [[3]]}', "", 'RecallState: param_str needs "shapes", the shape of each state without the batch'),
        ('{"shapes": [[3]]}', '{"shapes": []}', 'RecallState: param_str needs "shapes"'),
        ('{"shapes": [[3]]}', '{"shapes": [[0]]}', 'RecallState: param_str needs "shapes"'),
        ('{"shapes": [[3]]}', '{"shapes": [[3], [3]]}', "its 2 shapes and one for KeepState; it has 1 and 2"),
        ('bottom: "sum" bottom: "state"', 'bottom: "state"', "KeepState takes a bottom for each shape"),
        ('bottom: "sum" bottom: "state"', 'bottom: "sum" bottom: "first"', "KeepState takes a bottom for each shape"),
        (
            '{"shapes": [[3]]}',
            '{"shapes": [[1]]}',
            "KeepState: bottom 0 is (3,) in each row, but RecallState gives (1,)",
        ),
    ],
)
def test_what_it_refuses(make, capfd, old, new, said):
    """The layer says what is wrong in one line, before Caffe prints its stack."""
    assert old in NET
    text = NET.replace(old, new)
    if "gives (1,)" in said:
        text = text.replace('bottom: "frame" bottom: "before"', 'bottom: "frame"').replace("Eltwise", "Power")
    with pytest.raises(Exception):
        make(text)
    assert said in capfd.readouterr().err.splitlines()[0]


def test_a_batch_that_changes_within_videos_is_refused(make, capfd):
    net = make()
    push(net, [1, 2], [1, 1])
    net.blobs["frame"].reshape(3, 3)
    net.blobs["first"].reshape(3)
    with pytest.raises(Exception):
        push(net, [1, 2, 3], [1, 0, 1])
    assert "the batch changes from 2 to 3 rows within videos" in capfd.readouterr().err
