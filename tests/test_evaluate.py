"""tools/evaluate.py over real LMDBs and nets, against NumPy."""

import hashlib
import json
from pathlib import Path

import frames
import numpy as np
import pytest
import reference
import runs
from calls import caller, refused, words
from nets import Tiny
from random_nets import TORCH, write_exports, write_tiny

from rcnn.data import records
from rcnn.files import sha256
from rcnn.nets.model import NetModel
from rcnn.scoring import score_files

CLASSES = ["Left", "Right", "Still"]
VIDEOS = {"v_Left_g01_c01": (0, 4), "v_Right_g01_c01": (1, 1), "v_Still_g01_c01": (2, 2), "v_Still_g01_c02": (2, 3)}
SIDE, SIZE = 22, 17
TEN = np.ones((10, 10, 1), np.uint8)  # np.kron with it makes each pixel a square of 10 x 10
OPTIONS = dict(frames="f.lmdb", list="list.txt", classes="classes.txt", out="s.h5")


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("nets"), Tiny(classes=3, size=SIZE))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return write_exports(tmp_path_factory.mktemp("exported"), NetModel(classes=3, width=0.05))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames.write(tmp_path / "f.lmdb", VIDEOS, CLASSES, SIDE)
    Path("list.txt").write_text("".join(f"{name.split('_')[1]}/{name}.avi\n" for name in reversed(VIDEOS)))
    Path("classes.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(CLASSES, 1)))


@pytest.fixture
def evaluate(monkeypatch, nets):
    """The program's main() with a kind of the tiny nets, or without --net, and options."""
    main = caller(monkeypatch, "evaluate", **OPTIONS)

    def call(kind=None, **options):
        return main(**{"net": kind and getattr(nets, kind), "weights": nets.rcnn, "scale": 1 / 64, **options})

    return call


def expected(parameters, kind, number, count, crops, mean, scale):
    """Return by NumPy, in float64, the scores of video `number`: frames x crops x (low, high) x classes."""
    edge = SIDE - SIZE
    corners = [(edge // 2, edge // 2), (0, 0), (0, edge), (edge, 0), (edge, edge)]
    scores = []
    for t in range(count):

        def views(t):
            cuts = [frames.image(number, t, SIDE)[top : top + SIZE, left : left + SIZE] for top, left in corners]
            cuts = (cuts + [cut[:, ::-1] for cut in cuts])[:crops]
            return ((np.array(cuts, float) - mean) * scale).transpose(0, 3, 1, 2)

        if t and kind == "pair":
            before = reference.tower(parameters, views(t - 1))
        before = reference.tower(parameters, views(t), before if t and kind != "frame" else None)
        scores.append([reference.softmax(before[head]) for head in ("one/classifier", "three/classifier")])
    return np.array(scores).transpose(0, 2, 1, 3)


@pytest.mark.parametrize(
    "kind, crops, batch, mean, scale",
    [
        ("pair", 5, 4, (104, 117, 123), 1 / 64),
        ("pair", 10, 7, (10, 20, 30), 1 / 32),
        ("frame", 5, 100, (104, 117, 123), 1 / 50),
        ("recurrent", 1, 1, (104, 117, 123), 1 / 64),
    ],
)
def test_every_score_is_numpys(evaluate, nets, capsys, kind, crops, batch, mean, scale):
    options = {} if mean == (104, 117, 123) else {"mean": " ".join(map(str, mean))}  # which is the default
    evaluate(kind, crops=crops, batch=batch, scale=scale, signal="low", confusion="c.png", **options)
    correct, numbers = 0, {name: number for number, name in enumerate(VIDEOS)}
    with score_files.Scores("s.h5") as file:
        assert (file.names, file.signals, file.classes) == (list(reversed(VIDEOS)), ["low", "high"], CLASSES)
        assert file.labels.tolist() == [VIDEOS[video][0] for video in file.names]
        for index, video in enumerate(file.names):
            label, count = VIDEOS[video]
            wanted = expected(nets.parameters, kind, numbers[video], count, crops, mean, scale)
            for place, signal in enumerate(file.signals):
                assert np.allclose(file.frames(index, signal), wanted[:, :, place], atol=1e-5)
            assert np.allclose(file.times(index), np.arange(count) / 5)
            correct += np.log(wanted[:, :, 0].mean(axis=1)).mean(axis=0).argmax() == label
    said = capsys.readouterr().out
    assert f"low signal, {crops} crops: log-mean {25 * correct:.1f} %" in said and "chance 33.3 %" in said
    assert "4 videos, 10 frames" in said and Path("c.png").stat().st_size > 1000


def prepared(name, text):
    return lambda: Path(name).write_text(text)


@pytest.mark.parametrize(
    "prepare, options, said",
    [
        (None, {"frames": "gone"}, "no such LMDB: gone"),
        (None, {"signal": "medium"}, "has no output medium, only low, high"),
        (None, {"scale": 1e38}, "video v_Still_g01_c02, frame 1 of 3: the scores are not finite"),
        (None, {"out": "list.txt/s.h5"}, "cannot write list.txt/s.h5: Not a directory"),
        (None, {"confusion": "list.txt/c.png"}, "cannot write list.txt/c.png: Not a directory"),
        (None, {"mean": "1 2"}, "--mean: 2 values for the 3 channels of .*pair.prototxt"),
        (None, {"mode": "recurrent"}, "--mode recurrent: the net is of kind pair, for pair"),
        (prepared("list.txt", "Left/v_Left_g09_c01.avi\n"), {}, "lacks 1 of the 1 videos"),
        (prepared("classes.txt", "1 Left\n2 Right\n"), {}, "has 2 classes, .*pair.prototxt has 3"),
        (prepared("classes.txt", "1 Right\n2 Left\n3 Still\n"), {}, "v_Right_g01_c01 has label 1 in f.lmdb"),
        (lambda: frames.write(Path("flow.lmdb"), VIDEOS, CLASSES, SIDE, channels=2), {"frames": "flow.lmdb"}, "2 are"),
        (lambda: frames.write(Path("small.lmdb"), VIDEOS, CLASSES, 16), {"frames": "small.lmdb"}, "17 x 17 crop does"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_input_is_one_line_and_writes_nothing(evaluate, prepare, options, said):
    if prepare:
        prepare()
    refused(evaluate, said, "pair", **options)
    assert not list(Path(".").glob(".*")) and not Path("s.h5.partial").exists()


@pytest.mark.parametrize("options", [{"mean": "nan 1 2"}, {"mean": "1 inf 2"}, {"scale": "nan"}])
def test_numbers_that_are_not_finite_are_refused(evaluate, options):
    with pytest.raises(SystemExit):
        evaluate("pair", **options)


def test_as_a_program(nets):
    options = {**OPTIONS, "net": nets.pair, "weights": nets.cnn}
    status, out, error = runs.run("evaluate", *words(**options))
    assert (status, out) == (2, "") and error.startswith("evaluate.py: weights: ") and error.count("\n") == 1
    status, out, _ = runs.run("evaluate", *words(**{**options, "weights": nets.rcnn}))
    assert status == 0 and out.startswith("video accuracy, high signal, 5 crops: ")


def test_skipped_videos_are_named(evaluate, folder, capsys):
    frames.write(Path("some.lmdb"), {**VIDEOS, "v_Left_g01_c01": (0, 0)}, CLASSES, SIDE)
    evaluate("frame", frames="some.lmdb")
    printed = capsys.readouterr()
    assert "not tested v_Left_g01_c01: broken" in printed.err and "3 videos" in printed.out


def test_some_of_the_class_list(evaluate, capsys):
    """The same scores as with a class list of them alone, and one line where they are not the net's."""
    evaluate("pair", out="whole.h5")
    Path("classes.txt").write_text("1 Left\n2 Up\n3 Right\n4 Still\n")
    refused(evaluate, "has 4 classes, .*pair.prototxt has 3; --only-classes takes some", "pair")
    with open("list.txt", "a") as file:
        file.write("Up/v_Up_g01_c01.avi 2\n")
    evaluate("pair", **{"only-classes": "Still Left Right"})
    with score_files.Scores("s.h5") as some, score_files.Scores("whole.h5") as whole:
        assert (some.names, some.classes) == (whole.names, CLASSES)
        assert np.array_equal(some.frames(0, "high"), whole.frames(0, "high"))


def test_interrupted_it_goes_on_with_the_videos_that_are_left(evaluate, monkeypatch):
    evaluate("pair", out="whole.h5")
    read, asked = records.Records.frame, []

    def frame(self, video, index):
        asked.append(video)
        if len(asked) == 6:
            raise KeyboardInterrupt
        return read(self, video, index)

    monkeypatch.setattr(records.Records, "frame", frame)
    with pytest.raises(KeyboardInterrupt):
        evaluate("pair", batch=5)
    assert not Path("s.h5").exists() and Path("s.h5.partial").is_dir()
    refused(evaluate, r"s.h5.partial was made with other settings \(its input_scale", "pair", scale=0.5)
    begun = set(asked)
    evaluate("pair", batch=5)
    assert asked[0] not in asked[6:] and begun | set(asked[6:]) == set(VIDEOS)
    assert not Path("s.h5.partial").exists()
    with score_files.Scores("whole.h5") as whole, score_files.Scores("s.h5") as resumed:
        assert np.allclose(whole.videos("high"), resumed.videos("high"), atol=1e-6)


def test_finished_it_prints_again_and_replaces_only_when_forced(evaluate, capsys):
    evaluate("frame")
    made, said = Path("s.h5").stat().st_mtime_ns, capsys.readouterr().out
    evaluate("frame")
    again = capsys.readouterr().out
    assert Path("s.h5").stat().st_mtime_ns == made
    assert again.startswith("s.h5 is there already, made with these settings\n")
    assert said.splitlines()[0] == again.splitlines()[1]
    refused(evaluate, r"other videos or settings \(its crops is 5, now it is 1\); give another.*--f", "frame", crops=1)
    Path("s.h5").write_bytes(Path("s.h5").read_bytes()[:-100])
    refused(evaluate, "s.h5 is cut short or not an HDF5 file .* with --force to replace it", "frame")
    evaluate("frame", crops=1, force="")
    with score_files.Scores("s.h5") as file:
        assert file.crops == 1


@pytest.mark.parametrize(
    "weights, options, kind, backend",
    [
        ("rcnn.caffemodel", {"net": "recurrent.prototxt", "mode": "pair"}, "pair", "caffe"),
        ("frame.onnx", {}, "frame", "onnx"),
        ("recurrent.onnx", {"mode": "pair"}, "pair", "onnx"),
        ("rcnn.caffemodel", {"backend": "onnx", "mode": "frame"}, "frame", "onnx"),
        ("cnn.caffemodel", {}, "frame", "onnx"),
        pytest.param("rcnn.safetensors", {"backend": "torch", "mode": "pair"}, "pair", "torch", marks=TORCH),
    ],
)
def test_every_backend_and_mode_gives_caffes_scores(evaluate, exported, monkeypatch, weights, options, kind, backend):
    large = {name: (label, min(count, 3)) for name, (label, count) in VIDEOS.items()}
    monkeypatch.setattr(frames, "image", lambda video, t, side, small=frames.image: np.kron(small(video, t, 23), TEN))
    frames.write(Path("large.lmdb"), large, CLASSES, 230)
    usual = dict(frames="large.lmdb", crops=1, scale=0.5)
    evaluate(net=exported / f"{kind}.prototxt", weights=exported / "rcnn.caffemodel", out="caffe.h5", **usual)
    options = {**options, "net": exported / options["net"] if "net" in options else None}
    evaluate(weights=exported / weights, **usual, **options)
    with score_files.Scores("caffe.h5") as caffes, score_files.Scores("s.h5") as file:
        assert file.attributes["mode"] == kind and file.attributes.get("backend", "caffe") == backend
        assert ("net_sha256" in file.attributes) == (backend == "caffe")
        assert caffes.signals == file.signals == ["low", "medium", "high"]
        assert file.attributes["weights_sha256"] == sha256(exported / weights)
        values = [caffes.frames(index, "high") for index in range(4)]
        assert all(np.abs(file.frames(index, "high") - values[index]).max() < 1e-4 for index in range(4))
        assert np.ptp(np.concatenate(values), axis=0).max() > 1e-3


def test_what_caffe_scored_is_noted_as_ever(evaluate, nets):
    """Else score files that are finished would be refused as those of other settings."""
    evaluate("pair")
    with score_files.Scores("s.h5") as file:
        digest = file.attributes.pop("run_sha256")
        attributes = {name: np.asarray(value).tolist() for name, value in file.attributes.items()}
        assert attributes == {
            "net_sha256": sha256(nets.pair),
            "weights_sha256": sha256(nets.rcnn),
            "fps": "5.0",
            "frames_manifest_sha256": sha256("f.lmdb/manifest.json"),
            "crops": 5,
            "mean": [104.0, 117.0, 123.0],
            "input_scale": 1 / 64,
            "mode": "pair",
        }
        run = dict(crops=5, signals=["low", "high"], classes=CLASSES, attributes=attributes)
        run["videos"] = [[name, VIDEOS[name][0], [t / 5 for t in range(VIDEOS[name][1])]] for name in file.names]
    assert digest == hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
