"""What PyTorch trains on: the rows of Caffe's layers, shared among processes, gone on with after any batch."""

import json

import caffe
import frames
import numpy as np
import pytest
from nets import images, recipe, write_pairs

from rcnn.data import records
from rcnn.files import InputError
from rcnn.nets.model import NetModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")

from rcnn.training.torch_batches import Pairs, Sequences  # noqa: E402

MODEL = NetModel(classes=4, width=0.05, size=39)
PAIRS, SIDE = 14, 46
CLASSES = ["Left", "Right", "Still", "Turn"]
VIDEOS = {f"v_{CLASSES[n % 4]}_g{n:02d}": (n % 4, 2 + n) for n in range(5)}
LAYER = """
layer {{ name: "frame" type: "Python" top: "frame" top: "label" top: "first"
  python_param {{ module: "layers.sequential_frames" layer: "SequentialFrames" param_str: '{}' }} }}
"""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A pairs LMDB of tall JPEGs, of no whole number of batches."""
    made = images(np.random.default_rng(4), 2 * PAIRS, SIDE)
    path = tmp_path_factory.mktemp("pairs") / "pairs.lmdb"
    return write_pairs(path, made[::2], made[1::2], np.arange(PAIRS) % 4, "jpeg")


@pytest.fixture(scope="module")
def sequence(tmp_path_factory):
    """A frames LMDB and its list, of videos of 2 to 6 frames."""
    path = frames.write(tmp_path_factory.mktemp("frames") / "f.lmdb", VIDEOS, CLASSES, SIDE)
    return path, path.with_suffix(".txt")


def test_each_process_reads_its_own_share(pairs, monkeypatch):
    settings, read = recipe(MODEL, batch=5, seed=2), []
    monkeypatch.setattr(
        records.Records, "get", lambda self, key, real=records.Records.get: (read.append(key), real(self, key))[1]
    )
    with Pairs(pairs, settings) as source:
        whole = next(source.batches(0))
    shares, keys = [], []
    for rank in range(2):
        del read[:]
        with Pairs(pairs, settings, rank, 2) as source:
            steps = source._steps(0)
            shares.append(source._batch(steps))
            keys.append(read[1:])  # the first tells the frames' size
    assert [len(share.labels) for share in shares] == [3, 2] and not set(keys[0]) & set(keys[1])
    for part in range(3):
        together = torch.stack([shares[row % 2][part][row // 2] for row in range(5)])
        assert torch.equal(together, whole[part])
    assert shares[0].state == shares[1].state == whole.state


@pytest.mark.parametrize(
    "settings, world, message",
    [
        (dict(channels=2), 1, "^pairs: .* has frames of 3 channels, the net takes 2$"),
        (dict(classes=3), 1, "^pairs: .* has 4 classes, the net 3$"),
        (dict(size=SIDE + 1), 1, "crop does not fit"),
        (dict(batch=1), 2, "^batch: 1 is smaller than the number of processes, 2$"),
    ],
)
def test_pairs_that_do_not_fit(pairs, settings, world, message):
    with pytest.raises(InputError, match=message):
        Pairs(pairs, recipe(MODEL, **settings), world - 1, world)


def taken(batches, count):
    return [next(batches) for _ in range(count)]


def test_frames_in_order_are_those_of_caffes_layer(tmp_path, sequence):
    path, videos = sequence
    settings = recipe(MODEL, batch=3, seed=7, scale=1 / 16)
    options = dict(source=str(path), list=str(videos), batch=3, size=MODEL.size, seed=7, scale=1 / 16)
    (tmp_path / "net.prototxt").write_text(LAYER.format(json.dumps(options)))
    layer = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    with Sequences(path, videos, settings) as source:
        for batch in taken(source.batches(0), 20):
            layer.forward()
            for values, top in ((batch.frames, "frame"), (batch.labels, "label"), (batch.first, "first")):
                np.testing.assert_array_equal(values.numpy(), layer.blobs[top].data)
            assert batch.previous is None


@pytest.mark.parametrize("in_order", [False, True])
def test_batches_go_on_after_any_of_them(pairs, sequence, in_order):
    def opened():
        settings = recipe(MODEL, batch=4, seed=5)
        return Sequences(*sequence, settings) if in_order else Pairs(pairs, settings)

    with opened() as source:
        whole = taken(source.batches(0), 12)
    with opened() as source:
        rest = taken(source.batches(7, whole[6].state), 5)
    for one, other in zip(whole[7:], rest):
        assert torch.equal(one.frames, other.frames) and torch.equal(one.labels, other.labels)
        assert one.state == other.state
    assert not all(torch.equal(one.frames, whole[7].frames) for one in whole[8:])


def test_each_process_has_its_own_videos_in_order(sequence):
    settings = recipe(MODEL, batch=3, seed=5)
    with Sequences(*sequence, settings) as source:
        whole = taken(source.batches(0), 8)
    shares = []
    for rank in range(2):
        with Sequences(*sequence, settings, rank, 2) as source:
            shares.append(taken(source.batches(0), 8))
    for batch, even, odd in zip(whole, *shares):
        assert torch.equal(batch.frames, torch.stack([even.frames[0], odd.frames[0], even.frames[1]]))
        assert batch.first.tolist() == [even.first[0], odd.first[0], even.first[1]]


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(channels=2), "^frames: .* has frames of 3 channels, the net takes 2$"),
        (dict(classes=3), "^frames: .* has 4 classes, the net 3$"),
        (dict(size=SIDE + 1), "crop does not fit"),
    ],
)
def test_frames_that_do_not_fit(sequence, settings, message):
    with pytest.raises(InputError, match=message):
        Sequences(*sequence, recipe(MODEL, **settings))
