"""evaluate.py --previous: each frame scored with another one in place of the one before, frame by frame by hand."""

from pathlib import Path

import frames
import numpy as np
import pytest
import reference
from calls import caller, refused
from nets import Tiny
from random_nets import TORCH, write_exports, write_tiny

from rcnn.data import records
from rcnn.nets import weight_files as files
from rcnn.nets.model import NetModel
from rcnn.scoring import probe, score_videos
from rcnn.scoring.score_files import Scores

CLASSES = ["Left", "Right", "Still"]
VIDEOS = {  # label, frames
    "v_Left_g01_c01": (0, 5),
    "v_Left_g02_c01": (0, 2),
    "v_Right_g01_c01": (1, 6),
    "v_Right_g02_c01": (1, 1),
    "v_Still_g01_c01": (2, 3),
}
LONG = [name for name, (_, count) in VIDEOS.items() if count > 2]
SIDE, SIZE, SCALE = 22, 17, 1 / 64
MEAN = np.array([104, 117, 123.0])
INSIDE = {  # by hand: what each frame between the first and the last, from 0, is shown
    5: {"true": [0, 1, 2], "same": [1, 2, 3], "far": [3, 4, 0], "reversed": [2, 3, 4]},
    6: {"true": [0, 1, 2, 3], "same": [1, 2, 3, 4], "far": [4, 5, 0, 1], "reversed": [2, 3, 4, 5]},
    3: {"true": [0], "same": [1], "far": [2], "reversed": [2]},
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("nets"), Tiny(classes=3, size=SIZE))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames.write(tmp_path / "f.lmdb", VIDEOS, CLASSES, SIDE)
    Path("classes.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(CLASSES, 1)))


@pytest.fixture
def evaluate(monkeypatch, nets):
    usual = dict(frames="f.lmdb", list="f.txt", classes="classes.txt", out="s.h5", weights=nets.rcnn, scale=SCALE)
    main = caller(monkeypatch, "evaluate", **usual)
    return lambda kind=None, **options: main(**{"net": kind and getattr(nets, kind), **options})


def scores(path="s.h5"):
    """Return {video: float32 frames x crops x signals x classes}."""
    with Scores(path) as file:
        return {
            name: np.stack([file.frames(index, signal) for signal in file.signals], axis=2)
            for index, name in enumerate(file.names)
        }


def shown(previous, name, seed=1):
    """Return [(t, (video, frame) in place of the one before, None for nothing)] of a video."""
    count = VIDEOS[name][1]
    inside = range(1, count - 1)
    if previous == "none":
        return [(t, None) for t in inside]
    if previous == "other":
        with records.open_records("f.lmdb") as lmdb:
            ((other, length),) = probe.others(lmdb, [name], seed)
        assert VIDEOS[other][0] != VIDEOS[name][0] and VIDEOS[other][1] == length
        return [(t, (other, (t - 1) % length)) for t in inside]
    return [(t, (name, place)) for t, place in zip(inside, INSIDE[count][previous])]


def crops(name, t, number):
    cuts, edge = [], SIDE - SIZE
    for top, left in [(edge // 2, edge // 2), (0, 0), (0, edge), (edge, 0), (edge, edge)][:number]:
        cuts.append(frames.image(list(VIDEOS).index(name), t, SIDE)[top : top + SIZE, left : left + SIZE])
    return ((np.array(cuts, float) - MEAN) * SCALE).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("kind, number, batch", [("pair", 5, 10), ("recurrent", 1, 2)])
@pytest.mark.parametrize("previous", probe.PREVIOUS)
def test_every_score_is_numpys(evaluate, nets, capsys, kind, number, batch, previous):
    """A net that is tested in order otherwise gets the state of the one frame too."""
    evaluate(kind, crops=number, batch=batch, previous=previous)
    found = scores()
    assert list(found) == LONG
    right = []
    for name in LONG:
        wanted = []
        for t, place in shown(previous, name):
            before = reference.tower(nets.parameters, crops(*place, number)) if place else None
            now = reference.tower(nets.parameters, crops(name, t, number), before)
            wanted.append([reference.softmax(now[head]) for head in ("one/classifier", "three/classifier")])
        assert np.allclose(found[name], np.array(wanted).transpose(0, 2, 1, 3), atol=1e-5)
        right += [step[1].mean(0).argmax() == VIDEOS[name][0] for step in wanted]
    with Scores("s.h5") as file:
        assert [file.times(index).tolist() for index in range(3)] == [[0.2, 0.4, 0.6], [0.2, 0.4, 0.6, 0.8], [0.2]]
        assert (file.attributes["previous"], file.attributes["mode"]) == (previous, "pair")
        assert file.attributes.get("seed") == (1 if previous == "other" else None)
    out, error = capsys.readouterr()
    assert f"3 videos, 8 frames, {100 * np.mean(right):.1f} % by the pair" in out
    assert "not tested, as it has fewer than three frames: v_Left_g02_c01\n" in error and "v_Right_g02_c01" in error


def test_true_is_what_the_net_is_tested_with(evaluate):
    evaluate("pair", crops=1)
    whole = scores()
    evaluate("pair", crops=1, previous="true", out="true.h5")
    evaluate("frame", crops=1, out="cnn.h5")
    evaluate("pair", crops=1, previous="none", out="none.h5")
    cnn = scores("cnn.h5")
    for name in LONG:
        assert np.allclose(scores("true.h5")[name], whole[name][1:-1], atol=1e-6)
        assert np.allclose(scores("none.h5")[name], cnn[name][1:-1], atol=1e-6)


def of_all(evaluate, kind, **options):
    """Return {what is shown: scores of the longest video}."""
    found = {}
    for previous in probe.PREVIOUS:
        evaluate(kind, crops=1, previous=previous, out=f"{previous}.h5", **options)
        found[previous] = scores(f"{previous}.h5")["v_Right_g01_c01"]
    return found


def test_without_temporal_weights_a_sum_is_the_same_whatever_is_shown(evaluate, tmp_path):
    """With them, no two are the same, so that a mix-up would show."""
    model = write_tiny(tmp_path, Tiny(classes=3, size=SIZE, combine="sum"), prefix="sum_")
    found = of_all(evaluate, None, net=model.pair, weights=model.rcnn)
    pairs = [(one, two) for one in found for two in found if one < two]
    assert all(np.abs(found[one] - found[two]).max() > 1e-4 for one, two in pairs)
    import caffe

    net = caffe.Net(str(model.pair), caffe.TEST, weights=str(model.rcnn))
    for layer, blobs in net.params.items():
        if layer.endswith("/temporal"):
            blobs[0].data[...] = 0
    net.save(str(tmp_path / "zero.caffemodel"))
    found = of_all(evaluate, None, net=model.pair, weights="zero.caffemodel", force="")
    assert all(np.array_equal(found[previous], found["none"]) for previous in found)


@TORCH
def test_pytorch_and_onnx_by_hand(evaluate, tmp_path, monkeypatch):
    """Frame by frame through the module of torch_net, without what evaluates nets."""
    import torch

    from rcnn.nets.torch_net import build

    monkeypatch.setattr(
        frames, "image", lambda video, t, side, small=frames.image: small(video, t, 18).repeat(2, 0).repeat(2, 1)
    )
    frames.write(Path("large.lmdb"), VIDEOS, CLASSES, 36)
    write_exports(tmp_path, NetModel(classes=3, width=0.1, size=33))
    net = build(*files.read(tmp_path / "rcnn.pt"))

    def frame(name, t):
        image = frames.image(list(VIDEOS).index(name), t, 36)[1:34, 1:34]
        return torch.from_numpy(((image - MEAN) / 2).transpose(2, 0, 1)[None].astype(np.float32))

    monkeypatch.chdir(tmp_path)
    for previous in probe.PREVIOUS:
        for weights, options in (
            ("rcnn.pt", {}),
            ("recurrent.onnx", {}),
            ("rcnn.caffemodel", {"net": "pair.prototxt"}),
        ):
            evaluate(frames="large.lmdb", weights=weights, crops=1, scale=0.5, previous=previous, force="", **options)
            found = scores()
            assert list(found) == LONG
            for name in LONG:
                for row, (t, place) in zip(found[name], shown(previous, name)):
                    with torch.no_grad():
                        state = net(frame(*place))[1] if place else None
                        wanted = net(frame(name, t), state)[0]
                    for signal, values in zip(("low", "medium", "high"), row[0]):
                        assert np.allclose(torch.softmax(wanted[signal], 1)[0].numpy(), values, atol=1e-5)


def test_the_other_video_hangs_on_no_other(tmp_path):
    def chosen(path, names, seed=1):
        with records.open_records(path) as lmdb:
            return dict(zip(names, probe.others(lmdb, names, seed)))

    many = {f"v_{CLASSES[index % 3]}_g{index:02d}_c01": (index % 3, 1 + index % 4) for index in range(60)}
    more = {**many, "v_Left_g99_c01": (0, 4)}
    frames.write(tmp_path / "many.lmdb", many, CLASSES)
    frames.write(tmp_path / "more.lmdb", more, CLASSES)
    found = chosen("many.lmdb", list(many))
    assert all(many[other][0] != many[name][0] and many[other][1] == count for name, (other, count) in found.items())
    assert len(set(found.values())) > 20
    some = list(many)[40:10:-3]
    assert chosen("many.lmdb", some) == {name: found[name] for name in some}
    assert chosen("many.lmdb", list(many), 2) != found
    changed = {name: other for name, other in chosen("more.lmdb", list(many)).items() if other != found[name]}
    assert len(changed) < 10 and set(changed.values()) <= {("v_Left_g99_c01", 4)}


def test_frames_are_read_as_they_are_needed(nets):
    from rcnn.nets.caffe_net import CaffeNetwork

    asked, image = [], np.zeros((SIDE, SIDE, 3), np.uint8)

    def read(video, t):
        asked.append((video, t))
        return image

    def instead(video, t):
        return image

    network = CaffeNetwork(nets.pair, nets.rcnn)
    found = score_videos.score_videos(network, [1000, 2, 4], read, 1, 3, shown=instead)
    assert next(found)[1].shape == (3, 1, 2, 3) and asked == [(0, 1), (0, 2), (0, 3)]
    assert sum(len(block) for video, block in found if video == 2) == 2 and asked[-2:] == [(2, 1), (2, 2)]


def test_a_file_of_another_mode_is_left_alone(evaluate, capsys, monkeypatch):
    evaluate("pair", previous="same")
    made = Path("s.h5").stat().st_mtime_ns
    evaluate("pair", previous="same")
    assert "s.h5 is there already, made with these settings" in capsys.readouterr().out
    refused(evaluate, r'its previous is "same", now it is "far"\); give another', "pair", previous="far")
    refused(evaluate, r'its previous is "same", now it is null', "pair")
    assert Path("s.h5").stat().st_mtime_ns == made
    evaluate("pair", previous="other", seed=3, out="other.h5")
    refused(evaluate, "its seed is 3, now it is 1", "pair", previous="other", out="other.h5")


def test_interrupted_it_goes_on_in_the_same_mode(evaluate, monkeypatch):
    evaluate("pair", previous="other", out="whole.h5")
    read, asked = records.Records.frame, []

    def frame(self, video, index):
        asked.append(video)
        if len(asked) == 9:
            raise KeyboardInterrupt
        return read(self, video, index)

    monkeypatch.setattr(records.Records, "frame", frame)
    with pytest.raises(KeyboardInterrupt):
        evaluate("pair", previous="other", batch=5)
    refused(evaluate, r's.h5.partial was made with other settings \(its previous is "other"', "pair", previous="far")
    evaluate("pair", previous="other", batch=5)
    assert len(asked) < 9 + 16
    whole, resumed = scores("whole.h5"), scores()
    assert all(np.allclose(whole[name], resumed[name], atol=1e-6) for name in LONG)


ONE_CLASS = {name: video for name, video in VIDEOS.items() if "Left" in name}


@pytest.mark.parametrize(
    "kind, options, said",
    [
        ("frame", {"previous": "same"}, "net: .*frame.prototxt sees single frames; give deploy_rcnn_r.prototxt"),
        ("frame", {"previous": "none"}, "net: .*frame.prototxt sees single frames; give deploy_rcnn_r.prototxt"),
        ("recurrent", {"previous": "true", "mode": "recurrent"}, "--previous: it shows one frame, .* --mode recurrent"),
        ("pair", {"previous": "other", "frames": "one.lmdb", "list": "one.txt"}, "one.lmdb has videos of one class"),
        (
            "pair",
            {"previous": "true", "list": "short.txt"},
            "no listed video has three frames in f.lmdb; the first and",
        ),
    ],
)
def test_what_cannot_be_probed_is_one_line(evaluate, kind, options, said):
    frames.write(Path("one.lmdb"), ONE_CLASS, CLASSES, SIDE)
    Path("short.txt").write_text("Left/v_Left_g02_c01.avi\nRight/v_Right_g02_c01.avi\n")
    refused(evaluate, said, kind, **options)
    assert not Path("s.h5.partial").exists()


def test_what_is_not_known(evaluate, capsys):
    with pytest.raises(SystemExit):
        evaluate("pair", previous="next")
    assert "--previous: invalid choice: 'next'" in capsys.readouterr().err
