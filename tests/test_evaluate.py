"""tools/evaluate.py over real LMDBs and nets, against NumPy."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import caffe
import cv2
import numpy as np
import pytest
import runs
from random_nets import TORCH

from rcnn.data import records
from rcnn.data.builds import Build
from rcnn.files import InputError, ProgramError, sha256
from rcnn.nets import compare
from rcnn.nets import weight_files as files
from rcnn.nets.caffe_net import DEPLOY_NETS, CaffeNetwork
from rcnn.nets.model import NetModel, without_temporal
from rcnn.scoring import score_files
from rcnn.scoring.score_videos import score_videos

TOOL = Path(__file__).resolve().parents[1] / "tools" / "evaluate.py"
CLASSES = ["Left", "Right", "Still"]
VIDEOS = {"v_Left_g01_c01": (0, 4), "v_Right_g01_c01": (1, 1), "v_Still_g01_c01": (2, 2), "v_Still_g01_c02": (2, 3)}
SIZE = 8

INPUT = 'layer {{ name: "{0}" type: "Input" top: "{0}" input_param {{ shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }} }} }}\n'
DENSE = (
    'layer {{ name: "{0}" type: "InnerProduct" bottom: "{1}" top: "{0}" {2} inner_product_param {{ num_output: 3 '
    'weight_filler {{ type: "gaussian" std: 0.002 }} bias_filler {{ type: "gaussian" std: 0.3 }} }} }}\n'
)
SOFTMAX = 'layer {{ name: "{0}" type: "Softmax" bottom: "{1}" top: "{0}" }}\n'
SHARED = 'param {{ name: "{0}/w" }} param {{ name: "{0}/b" }}'


def signal_layers(signal, pair):
    """Return two towers of one linear layer: frame + previous frame by other weights, softmax."""
    spatial, shared = f"{signal}/fc", SHARED.format(signal)
    if not pair:
        return DENSE.format(spatial, "frame", "") + SOFTMAX.format(signal, spatial)
    return (
        DENSE.format("previous/" + spatial, "previous/frame", shared)
        + SOFTMAX.format("previous/" + signal, "previous/" + spatial)
        + DENSE.format(spatial, "frame", shared)
        + DENSE.format(f"{signal}/temporal", "previous/frame", "")
        + f'layer {{ name: "{signal}/sum" type: "Eltwise" bottom: "{spatial}" bottom: "{signal}/temporal" '
        f'top: "{signal}/sum" }}\n' + SOFTMAX.format(signal, f"{signal}/sum")
    )


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(5)
    return {
        name: [
            np.repeat(np.repeat(generator.integers(0, 256, (3, 4, 3), np.uint8), 4, axis=0), 4, axis=1)
            for _ in range(count)
        ]
        for name, (_, count) in VIDEOS.items()
    }


def build_frames(path, images, label_of=lambda name: VIDEOS[name][0], skipped=()):
    with Build(path, "frames", {"fps": 5.0}, print) as build:
        for name, frames in images.items():
            build.put(
                (records.frame_key(name, index), records.encode_frame(image, label_of(name)))
                for index, image in enumerate(frames)
            )
        build.finish(
            counts={"frames": sum(map(len, images.values()))},
            skipped=list(skipped),
            videos=[
                {
                    "name": name,
                    "label": label_of(name),
                    "frames": len(frames),
                    "times": [index / 5 for index in range(len(frames))],
                }
                for name, frames in images.items()
            ],
        )


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, images):
    monkeypatch.chdir(tmp_path)
    build_frames("f.lmdb", images)
    Path("list.txt").write_text("".join(f"{name.split('_')[1]}/{name}.avi\n" for name in reversed(VIDEOS)))
    Path("classes.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(CLASSES, 1)))
    caffe.set_random_seed(1)
    for name, pair in (("pair", True), ("frame", False)):
        inputs = (INPUT.format("previous/frame") if pair else "") + INPUT.format("frame")
        Path(f"{name}.prototxt").write_text(inputs + signal_layers("low", pair) + signal_layers("high", pair))
        caffe.Net(f"{name}.prototxt", caffe.TEST).save(f"{name}.caffemodel")


@pytest.fixture
def evaluate(monkeypatch):
    """The tool's main(), called with a net's name and options that differ from the usual ones."""
    module = runs.module("evaluate")

    def call(name, **options):
        options = {
            "net": f"{name}.prototxt",
            "weights": f"{name}.caffemodel",
            "frames": "f.lmdb",
            "list": "list.txt",
            "classes": "classes.txt",
            "out": "s.h5",
            **options,
        }
        words = [
            [f"--{option.replace('_', '-')}", *str(value).split()]
            for option, value in options.items()
            if value is not None
        ]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *sum(words, [])])
        module.main()

    return call


def expected(name, signal, frames, crops, mean, scale):
    """Return by NumPy, in float64, the scores of a video's frames: frames x crops x classes."""
    model = caffe.Net(f"{name}.prototxt", f"{name}.caffemodel", caffe.TEST)
    part = {layer: [blob.data.astype(float) for blob in model.params[layer]] for layer in model.params}

    def views(image):
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], cv2.IMREAD_COLOR)
        height, width = image.shape[:2]
        down, right = height - SIZE, width - SIZE
        corners = [(down // 2, right // 2), (0, 0), (0, right), (down, 0), (down, right)]
        cut = [image[top : top + SIZE, left : left + SIZE] for top, left in corners]
        cut = (cut + [view[:, ::-1] for view in cut])[:crops]
        return [((view - np.array(mean, float)) * scale).transpose(2, 0, 1).ravel() for view in cut]

    def softmax(values):
        return np.exp(values - values.max()) / np.exp(values - values.max()).sum()

    result = []
    for index, image in enumerate(frames):
        row = []
        for crop, view in enumerate(views(image)):
            value = part[f"{signal}/fc"][0] @ view + part[f"{signal}/fc"][1]
            if name == "pair" and index:
                before = views(frames[index - 1])[crop]
                value = value + part[f"{signal}/temporal"][0] @ before + part[f"{signal}/temporal"][1]
            row.append(softmax(value))
        result.append(row)
    return np.array(result)


@pytest.mark.parametrize(
    "name, crops, batch, mean, scale",
    [
        ("pair", 5, 4, (104, 117, 123), 1.0),
        ("pair", 10, 7, (10, 20, 30), 0.5),
        ("pair", 1, 100, (104, 117, 123), 1.0),
        ("frame", 5, 3, (104, 117, 123), 2.0),
        ("frame", 1, 1, (104, 117, 123), 1.0),
    ],
)
def test_every_score_is_numpys(evaluate, images, capsys, name, crops, batch, mean, scale):
    evaluate(
        name, crops=crops, batch=batch, mean=" ".join(map(str, mean)), scale=scale, signal="low", confusion="c.png"
    )
    correct = 0
    with score_files.Scores("s.h5") as file:
        assert (file.names, file.signals, file.classes) == (list(reversed(VIDEOS)), ["low", "high"], CLASSES)
        assert file.labels.tolist() == [VIDEOS[video][0] for video in file.names]
        for index, video in enumerate(file.names):
            for signal in file.signals:
                wanted = expected(name, signal, images[video], crops, mean, scale)
                assert np.allclose(file.frames(index, signal), wanted, atol=1e-5)
            assert np.allclose(file.times(index), np.arange(len(images[video])) / 5)
            wanted = expected(name, "low", images[video], crops, mean, scale).mean(axis=1)
            correct += np.log(wanted).mean(axis=0).argmax() == VIDEOS[video][0]
        assert file.attributes["weights_sha256"] == sha256(f"{name}.caffemodel")
        assert file.attributes["frames_manifest_sha256"] == sha256("f.lmdb/manifest.json")
        assert (file.attributes["fps"], file.attributes["crops"], file.attributes["mode"]) == ("5.0", crops, name)
    said = capsys.readouterr().out
    assert f"low signal, {crops} crops: log-mean {25 * correct:.1f} %" in said and "chance 33.3 %" in said
    assert "4 videos, 10 frames" in said and Path("c.png").stat().st_size > 1000


def test_frames_are_read_once_and_few_are_held():
    network, asked = CaffeNetwork("pair.prototxt", "pair.caffemodel"), []

    def read(*place):
        asked.append(place)
        return np.zeros((9, 9, 3), np.uint8)

    results = score_videos(network, [3, 2, 4], read, crops=5, batch=10)
    assert next(results)[0] == 0 and asked == [(0, 0), (0, 1), (0, 2)]  # two pairs a pass, and no more read than that
    assert [(video, len(block)) for video, block in results] == [(1, 2), (2, 2), (2, 2)]
    assert asked == [(video, frame) for video, count in enumerate((3, 2, 4)) for frame in range(count)]


def without(path, *layers):
    """Write a caffemodel without some layers; return its path."""
    message = caffe.proto.caffe_pb2.NetParameter.FromString(Path(path).read_bytes())
    kept = [layer for layer in message.layer if layer.name not in layers]
    del message.layer[:]
    message.layer.extend(kept)
    Path("less.caffemodel").write_bytes(message.SerializeToString())
    return "less.caffemodel"


def test_shared_layers_need_not_be_in_the_weights(evaluate):
    evaluate("pair", out="all.h5")
    evaluate("pair", weights=without("pair.caffemodel", "previous/high/fc", "previous/low/fc"))
    with score_files.Scores("all.h5") as one, score_files.Scores("s.h5") as two:
        assert np.array_equal(one.videos("high"), two.videos("high"))


def wrong_shape():
    text = Path("pair.prototxt").read_text()
    Path("wide.prototxt").write_text(text.replace("num_output: 3", "num_output: 4"))
    caffe.Net("wide.prototxt", caffe.TEST).save("wide.caffemodel")


@pytest.mark.parametrize(
    "prepare, options, said",
    [
        (
            lambda: without("pair.caffemodel", "high/temporal"),
            {"weights": "less.caffemodel"},
            "less.caffemodel lacks 1 of the net's layers, the first is high/temporal",
        ),
        (lambda: None, {"weights": "frame.caffemodel"}, "lacks 2 of the net's layers, the first is low/temporal"),
        (wrong_shape, {"weights": "wide.caffemodel"}, r"shape \[4, 192\] for layer \S+, the net has \[3, 192\]"),
        (lambda: Path("bad").write_text("no"), {"weights": "bad"}, "weights: bad is cut short or not"),
        (lambda: None, {"weights": "gone"}, "weights: no such file: gone"),
        (lambda: None, {"net": "gone"}, "net: no such file: gone"),
        (lambda: Path("bad").write_text("layer"), {"net": "bad"}, "net: bad does not parse"),
        (lambda: None, {"frames": "gone"}, "no such LMDB: gone"),
        (lambda: None, {"signal": "medium"}, "has no output medium, only low, high"),
        (lambda: None, {"scale": 1e38}, "video v_Still_g01_c02, frame 1 of 3: the scores are not finite"),
        (lambda: Path("file").touch(), {"out": "file/s.h5"}, "cannot write file/s.h5: Not a directory"),
        (lambda: Path("folder").mkdir(), {"out": "folder"}, "cannot write folder: Is a directory"),
        (lambda: Path("folder").mkdir(), {"confusion": "folder"}, "cannot write folder: Is a directory"),
        (lambda: Path("list.txt").write_text("Left/v_Left_g09_c01.avi\n"), {}, "lacks 1 of the 1 videos"),
        (lambda: Path("classes.txt").write_text("1 Left\n2 Right\n"), {}, "has 2 classes, pair.prototxt has 3"),
        (
            lambda: Path("classes.txt").write_text("1 Right\n2 Left\n3 Still\n"),
            {},
            "v_Right_g01_c01 has label 1 in f.lmdb",
        ),
        (
            lambda: Path("big.prototxt").write_text(Path("frame.prototxt").read_text().replace("dim: 8", "dim: 4")),
            {"net": "big.prototxt", "weights": "frame.caffemodel"},
            r"shape \[3, 192\] for layer low/fc, .* has \[3, 48\]",
        ),
        (
            lambda: Path("odd.prototxt").write_text(Path("frame.prototxt").read_text().replace('"frame"', '"data"')),
            {"net": "odd.prototxt", "weights": "frame.caffemodel"},
            "odd.prototxt has inputs data; a deploy net has",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_input_is_one_line_and_writes_nothing(evaluate, prepare, options, said):
    prepare()
    with pytest.raises(ProgramError, match=said) as error:
        evaluate("pair", **options)
    assert "\n" not in str(error.value) and not list(Path(".").glob("*.h5")) and not list(Path(".").glob(".*"))


@pytest.mark.parametrize("options", [{"mean": "nan 1 2"}, {"mean": "1 inf 2"}, {"scale": "nan"}])
def test_numbers_that_are_not_finite_are_refused(evaluate, options):
    with pytest.raises(SystemExit):
        evaluate("pair", **options)
    assert not Path("s.h5").exists()


def test_a_crop_larger_than_the_frames(evaluate, images):
    build_frames("small.lmdb", {name: [image[:6, :6] for image in frames] for name, frames in images.items()})
    with pytest.raises(InputError, match="8 x 8 crop does not fit"):
        evaluate("pair", frames="small.lmdb")


def test_skipped_videos_are_named(evaluate, images, capsys):
    some = {name: frames for name, frames in images.items() if name != "v_Left_g01_c01"}
    build_frames("some.lmdb", some, skipped=[{"video": "v_Left_g01_c01", "reason": "broken file"}])
    evaluate("frame", frames="some.lmdb")
    printed = capsys.readouterr()
    assert "not tested, as it has no frames: v_Left_g01_c01 (broken file)" in printed.err and "3 videos" in printed.out


def test_an_error_has_no_traceback():
    command = [
        sys.executable,
        str(TOOL),
        "--net",
        "pair.prototxt",
        "--weights",
        "frame.caffemodel",
        "--frames",
        "f.lmdb",
        "--list",
        "list.txt",
        "--classes",
        "classes.txt",
        "--out",
        "s.h5",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("evaluate.py: weights: ") and done.stderr.count("\n") == 1


def test_interrupted_it_goes_on_with_the_videos_that_are_left(evaluate, monkeypatch, capsys):
    evaluate("pair", out="whole.h5")
    read, asked = records.Records.frame, []

    def frame(self, video, index):
        asked.append(video)
        if len(asked) == 6:
            raise KeyboardInterrupt
        return read(self, video, index)

    monkeypatch.setattr(records.Records, "frame", frame)
    with pytest.raises(KeyboardInterrupt):
        evaluate("pair", crops=5, batch=5)
    assert not Path("s.h5").exists() and Path("s.h5.partial").is_dir()
    with pytest.raises(InputError, match="s.h5.partial holds the unfinished scores of another run: its input_scale is"):
        evaluate("pair", crops=5, batch=5, scale=0.5)
    begun = set(asked)
    evaluate("pair", crops=5, batch=5)
    assert asked[0] not in asked[6:] and begun | set(asked[6:]) == set(VIDEOS)
    assert not Path("s.h5.partial").exists()
    with score_files.Scores("whole.h5") as whole, score_files.Scores("s.h5") as resumed:
        for index in range(len(VIDEOS)):
            assert np.allclose(whole.frames(index, "high"), resumed.frames(index, "high"), atol=1e-6)


def test_finished_it_prints_again_and_replaces_only_when_forced(evaluate, capsys):
    evaluate("frame")
    made, said = Path("s.h5").stat().st_mtime_ns, capsys.readouterr().out
    evaluate("frame")
    again = capsys.readouterr().out
    assert Path("s.h5").stat().st_mtime_ns == made
    assert again.startswith("s.h5 is there already, made with these settings\n")
    assert said.splitlines()[0] == again.splitlines()[1]
    for options, words in (
        ({"scale": 0.5}, "its input_scale is 1.0, now it is 0.5"),
        ({"crops": 1}, "its crops is 5, now it is 1"),
    ):
        with pytest.raises(InputError, match=rf"has scores of other videos or settings \({words}\); give anoth.*--f"):
            evaluate("frame", **options)
    Path("s.h5").write_bytes(Path("s.h5").read_bytes()[:-100])
    with pytest.raises(InputError, match="s.h5 is cut short or not an HDF5 file .* with --force to replace it"):
        evaluate("frame")
    evaluate("frame", crops=1, force="")
    with score_files.Scores("s.h5") as file:
        assert file.crops == 1


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with the parameters of a narrow net in files of every kind, and its deploy nets."""
    folder, model = tmp_path_factory.mktemp("exported"), NetModel(classes=3, width=0.05)
    arrays = compare.random_arrays(model)
    for kind, make in DEPLOY_NETS.items():
        (folder / f"{kind}.prototxt").write_text(str(make(model)))
        files.save(
            folder / f"{kind}.onnx", *(without_temporal(arrays, model) if kind == "frame" else (arrays, model)), kind
        )
    files.save(folder / "cnn.caffemodel", *without_temporal(arrays, model), "frame")
    for name in ("rcnn.caffemodel", *(("rcnn.pt", "rcnn.safetensors") if files.installed("torch") else ())):
        files.save(folder / name, arrays, model, "recurrent")
    return folder


@pytest.mark.parametrize(
    "weights, options, kind, backend",
    [
        ("rcnn.caffemodel", {"net": "recurrent.prototxt", "mode": "pair"}, "pair", "caffe"),
        ("frame.onnx", {}, "frame", "onnx"),
        ("pair.onnx", {"backend": "onnx"}, "pair", "onnx"),
        ("recurrent.onnx", {}, "recurrent", "onnx"),
        ("recurrent.onnx", {"mode": "pair"}, "pair", "onnx"),
        ("rcnn.caffemodel", {"backend": "onnx", "mode": "frame"}, "frame", "onnx"),
        ("rcnn.caffemodel", {}, "recurrent", "onnx"),
        ("cnn.caffemodel", {}, "frame", "onnx"),
        pytest.param("rcnn.pt", {"backend": "torch"}, "recurrent", "torch", marks=TORCH),
        pytest.param("rcnn.safetensors", {"backend": "torch", "mode": "pair"}, "pair", "torch", marks=TORCH),
        pytest.param("rcnn.caffemodel", {"backend": "torch", "mode": "frame"}, "frame", "torch", marks=TORCH),
    ],
)
def test_every_backend_and_mode_gives_caffes_scores(
    evaluate, exported, images, capsys, weights, options, kind, backend
):
    large = {name: [cv2.resize(image, (230, 230)) for image in frames] for name, frames in images.items()}
    build_frames("large.lmdb", large)
    usual = dict(frames="large.lmdb", crops=1, scale=0.5)
    evaluate(None, net=exported / f"{kind}.prototxt", weights=exported / "rcnn.caffemodel", out="caffe.h5", **usual)
    options = {**options, "net": exported / options["net"] if "net" in options else None}
    evaluate(None, weights=exported / weights, **usual, **options)
    with score_files.Scores("caffe.h5") as caffes, score_files.Scores("s.h5") as file:
        assert file.attributes["mode"] == kind and file.attributes.get("backend", "caffe") == backend
        assert ("net_sha256" in file.attributes) == (backend == "caffe")
        assert caffes.signals == file.signals == ["low", "medium", "high"]
        assert np.allclose(file.frames(0, "medium").sum(axis=2), 1)
        assert file.attributes["weights_sha256"] == sha256(exported / weights)
        values = [caffes.frames(index, "high") for index in range(4)]
        for index in range(4):
            assert np.abs(file.frames(index, "high") - values[index]).max() < 1e-4
        assert np.ptp(np.concatenate(values), axis=0).max() > 1e-3
    made = Path("s.h5").stat().st_mtime_ns
    capsys.readouterr()
    evaluate(None, weights=exported / weights, **usual, **options)
    assert Path("s.h5").stat().st_mtime_ns == made and "is there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, said",
    [
        ({"weights": "pair.onnx", "gpu": 0}, "--gpu 0: ONNX Runtime runs on the CPU here"),
        ({"weights": "pair.onnx", "mode": "recurrent"}, "--mode recurrent: the net is of kind pair, for pair"),
        ({"weights": "cnn.caffemodel", "mode": "pair"}, "these weights are a CNN's, which have none"),
        ({"weights": "pair.onnx", "backend": "caffe"}, "weights: Caffe takes a caffemodel and a prototxt, --net"),
        ({"weights": "pair.onnx", "mean": "1 2"}, "--mean: 2 values for the 3 channels of .*pair.onnx"),
        ({"weights": "pair.onnx", "classes": "two.txt"}, "has 2 classes, .*pair.onnx has 3"),
    ],
)
def test_bad_input_without_caffe_is_one_line_and_writes_nothing(evaluate, exported, options, said):
    Path("two.txt").write_text("1 Left\n2 Right\n")
    with pytest.raises(InputError, match=said) as error:
        evaluate(None, net=None, **{**options, "weights": exported / options["weights"]})
    assert "\n" not in str(error.value) and not list(Path(".").glob("*.h5"))


def test_what_caffe_scored_is_noted_as_ever(evaluate):
    """Else score files that are finished would be refused as those of other settings."""
    evaluate("pair")
    with score_files.Scores("s.h5") as file:
        digest = file.attributes.pop("run_sha256")
        assert file.attributes.pop("mean").tolist() == [104, 117, 123]
        assert file.attributes == {
            "net_sha256": sha256("pair.prototxt"),
            "weights_sha256": sha256("pair.caffemodel"),
            "fps": "5.0",
            "frames_manifest_sha256": sha256("f.lmdb/manifest.json"),
            "crops": 5,
            "input_scale": 1.0,
            "mode": "pair",
        }
        run = {
            "crops": 5,
            "signals": ["low", "high"],
            "classes": CLASSES,
            "attributes": {
                **{
                    name: getattr(value, "item", lambda value=value: value)() for name, value in file.attributes.items()
                },
                "mean": [104.0, 117.0, 123.0],
            },
            "videos": [[name, VIDEOS[name][0], [t / 5 for t in range(VIDEOS[name][1])]] for name in file.names],
        }
    assert digest == hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
