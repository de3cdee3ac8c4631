"""tools/classify_video.py over real videos and nets, against a Classifier that is fed by hand."""

import os
import re
import signal
import sys
from pathlib import Path

import caffe
import cv2
import numpy as np
import pytest
import runs
from nets import Tiny, build, images, randomize
from test_video import Camera
from videos import numbered, write_avi

from rcnn import command
from rcnn.data.crops import MEAN
from rcnn.data.video import sample
from rcnn.experiments import plots
from rcnn.files import InputError
from rcnn.nets import prototxt as net
from rcnn.stream import Classifier

CLASSES = ["Archery", "Bowling", "Diving", "Fencing", "Rowing", "Surfing"]
MODEL = Tiny(classes=6, size=17)
OPTIONS = dict(net="net.prototxt", weights="net.caffemodel", classes="classes.txt")
WORD = re.compile(r"(\S+) (\d\.\d{3})")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a net, classes and a video of 3 seconds, 15 frames of which are at 5 frames a second."""
    monkeypatch.chdir(tmp_path)
    Path("classes.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(CLASSES, 1)))
    make_net("net", net.deploy_rcnn_s(MODEL))
    writer = cv2.VideoWriter("video.avi", cv2.VideoWriter_fourcc(*"XVID"), 25, (160, 120))
    for image in np.repeat(images(np.random.default_rng(3), 15, 120), 5, axis=0):
        writer.write(cv2.resize(image, (160, 120)))
    writer.release()
    Path("outputs").mkdir()
    return tmp_path


def make_net(name, message, seed=1):
    """Write a net with random weights to <name>.prototxt and <name>.caffemodel."""
    Path("made").mkdir(exist_ok=True)
    made = build(message, Path("made"), caffe.TEST)
    randomize(made, np.random.default_rng(seed), 0.05)
    made.save(f"{name}.caffemodel")
    Path("made/net.prototxt").rename(f"{name}.prototxt")
    Path("made").rmdir()


def words(source, **options):
    options = {**OPTIONS, **options}
    return [str(source), *sum(([f"--{name}", *str(value).split()] for name, value in options.items()), [])]


@pytest.fixture
def classify(monkeypatch, capfd):
    """A function that runs the tool; it returns (status, lines of standard output, standard error, Caffe's too)."""
    tool = runs.module("classify_video")

    def call(source="video.avi", **options):
        monkeypatch.setattr(sys, "argv", ["classify_video.py", *words(source, **options)])
        with pytest.raises(SystemExit) as end:
            command.run(tool.main)
        out, error = capfd.readouterr()
        return end.value.code or 0, out.splitlines(), error

    return call


def by_hand(source, signal_name="high", mean=MEAN, scale=1.0):
    """Return the (time, frame's scores, scores so far) of (time, image) pairs."""
    classifier = Classifier("net.prototxt", "net.caffemodel", mean=mean, scale=scale)
    row, given = classifier.signals.index(signal_name), []
    for time, image in source:
        result = classifier.push(image)
        given.append((time, result.frame[row], result.so_far[row]))
    return given


def five(scores):
    """Return how the five best of six scores are printed."""
    order = sorted(range(6), key=lambda index: -scores[index])[:5]
    return [(CLASSES[index], f"{scores[index]:.3f}") for index in order]


def check(lines, expected):
    """Compare the lines of frames, and the last one, with (time, scores, scores so far)."""
    assert len(lines) == len(expected) + 1
    for line, (time, scores, _) in zip(lines, expected):
        assert float(line.split(" s ")[0]) == pytest.approx(time, abs=0.006) and WORD.findall(line) == five(scores)
    assert lines[-1].startswith(f"{len(expected)} frames, {expected[-1][0]:.2f} s, log-mean: ")
    assert WORD.findall(lines[-1]) == five(expected[-1][2])
    assert len({line.split(" s ")[1] for line in lines[:-1]}) > len(expected) / 2  # the frames differ


@pytest.mark.parametrize("options", [{}, {"fps": 10}, {"signal": "low"}, {"scale": 0.5, "mean": "90 100 110"}])
def test_every_score_is_the_classifiers(classify, options):
    status, lines, error = classify(**options)
    mean = tuple(map(float, options["mean"].split())) if "mean" in options else MEAN
    expected = by_hand(
        sample("video.avi", options.get("fps", 5)), options.get("signal", "high"), mean, options.get("scale", 1.0)
    )
    assert status == 0 and len(expected) == 3 * options.get("fps", 5)
    check(lines, expected)
    assert "frame/s" in error and "instants" not in error


def test_a_pair_net_and_the_recurrent_net_in_pairs(classify):
    make_net("pair", net.deploy_rcnn_r(MODEL))
    in_order, pairs, alike = classify()[1], classify(net="pair.prototxt")[1], classify(mode="pair")[1]
    assert pairs == alike and pairs[:2] == in_order[:2] and pairs[2:] != in_order[2:]


def test_seconds_end_a_file(classify):
    assert len(classify(seconds=1)[1]) == 5 + 1
    check(classify(seconds=1.01)[1], by_hand(sample("video.avi", 5))[:6])
    assert len(classify(seconds=99)[1]) == 15 + 1


def test_a_folder_of_frames(classify):
    Path("frames").mkdir()
    pictures = images(np.random.default_rng(4), 12, 50)
    for number, image in enumerate(pictures):
        cv2.imwrite(f"frames/frame{number}.png", image)
    status, lines, _ = classify("frames", fps=4, plot="outputs/p.png", annotated="outputs/a.avi")
    assert status == 0
    check(lines[:-2], by_hand((number / 4, image) for number, image in enumerate(pictures)))


def test_fewer_than_five_classes(classify):
    Path("classes.txt").write_text("1 Left\n2 Right\n")
    make_net("net", net.deploy_rcnn_s(Tiny(classes=2, size=17)))
    status, lines, _ = classify(annotated="outputs/a.mp4", plot="outputs/p.png")
    assert status == 0
    for line in lines[:16]:
        (one, first), (other, second) = WORD.findall(line)
        assert {one, other} == {"Left", "Right"} and float(first) + float(second) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_annotated_video_and_plot(classify, monkeypatch, suffix):
    drawn, draw = [], plots.scores_over_time
    monkeypatch.setattr(plots, "scores_over_time", lambda *given: drawn.append(given) or draw(*given))
    status, lines, _ = classify(annotated=f"outputs/a.{suffix}", plot="outputs/p.png")
    assert status == 0 and lines[-2:] == [f"annotated video: outputs/a.{suffix}", "scores over time: outputs/p.png"]
    assert sorted(os.listdir("outputs")) == [f"a.{suffix}", "p.png"]
    shown = [image for _, image in sample(f"outputs/a.{suffix}")]
    frames = [image for _, image in sample("video.avi", 5)]
    assert len(shown) == len(frames) == 15
    for image, frame in zip(shown, frames):  # the frame on the left, twice as large
        assert np.abs(image[:, :320].astype(int) - cv2.resize(frame, (320, 240))).mean() < 6
    assert np.abs(shown[0].astype(int) - shown[-1])[:, 320:].max() > 100  # the panel changes
    _, times, curves, title, stride = drawn[0]
    expected = by_hand(sample("video.avi", 5))
    assert list(curves) == [name for name, _ in five(expected[-1][2])] and (title, stride) == ("video.avi", 1)
    assert np.allclose(times, [time for time, *_ in expected])
    for name, curve in curves.items():
        assert np.allclose(curve.T, [[part[CLASSES.index(name)] for part in row[1:]] for row in expected], atol=1e-6)
    picture = cv2.imread("outputs/p.png")
    for colour in plots.COLOURS[:5]:
        assert (
            np.abs(picture - [int(colour[place : place + 2], 16) for place in (5, 3, 1)]).max(axis=2) < 3
        ).sum() > 50


def test_a_source_slower_than_fps_is_told(classify):
    write_avi(Path("slow.avi"), 4, rate=2)
    status, lines, error = classify("slow.avi")
    assert status == 0 and len(lines) == 3 + 1
    assert "slow.avi: 3 of 6 instants had no frame of their own" in error


def diverged():
    made = caffe.Net("net.prototxt", caffe.TEST)
    made.params["three/fc"][0].data[...] = 1e38
    made.save("diverged.caffemodel")


def a_folder(*names):
    Path("frames").mkdir()
    for name in names:
        Path("frames", name).write_bytes(b"no image") if "bad" in name else cv2.imwrite(f"frames/{name}", numbered(1))


def nothing():
    pass


@pytest.mark.parametrize(
    "prepare, options, said",
    [
        (nothing, {"source": "gone.avi"}, "video: no such file: gone.avi"),
        (nothing, {"source": "classes.txt"}, "classes.txt: the file is damaged or not a video"),
        (
            lambda: write_avi(Path("none.avi"), 0),
            {"source": "none.avi"},
            "none.avi: it has no frame that can be decoded",
        ),
        (lambda: Path("empty.avi").touch(), {"source": "empty.avi"}, "empty.avi: the file is empty"),
        (a_folder, {"source": "frames"}, "frames: no image in frames"),
        (lambda: a_folder("1.png", "2bad.png"), {"source": "frames"}, "frames/2bad.png is damaged or not an image"),
        (nothing, {"source": "97"}, "camera 97: it is not there"),
        (
            lambda: make_net("cnn", net.deploy_cnn(MODEL)),
            {"weights": "cnn.caffemodel"},
            "weights: cnn.caffemodel lacks 3 of the net's layers, the first is one/5x5/temporal",
        ),
        (
            lambda: make_net("wide", net.deploy_rcnn_s(Tiny(classes=7, size=17))),
            {"weights": "wide.caffemodel"},
            "are width, input size and classes the same?",
        ),
        (
            lambda: make_net("large", net.deploy_rcnn_s(Tiny(classes=6, size=33))),
            {"weights": "large.caffemodel"},
            "are width, input size and classes the same?",
        ),
        (
            lambda: make_net("cnn", net.deploy_cnn(MODEL)),
            {"net": "cnn.prototxt", "weights": "cnn.caffemodel"},
            "net: cnn.prototxt sees single frames; give deploy_rcnn_r.prototxt or deploy_rcnn_s.prototxt",
        ),
        (
            lambda: make_net("pair", net.deploy_rcnn_r(MODEL)),
            {"net": "pair.prototxt", "mode": "recurrent"},
            "--mode recurrent: the net is of kind pair, for pair",
        ),
        (nothing, {"weights": "gone"}, "weights: no such file: gone"),
        (nothing, {"weights": "classes.txt"}, "weights: classes.txt is cut short or not"),
        (nothing, {"net": "gone"}, "net: no such file: gone"),
        (nothing, {"classes": "gone"}, "class list: no such file: gone"),
        (
            lambda: Path("two.txt").write_text("1 A\n2 B\n"),
            {"classes": "two.txt"},
            "--classes: two.txt has 2 classes, net.prototxt has 6",
        ),
        (nothing, {"signal": "medium"}, "--signal: net.prototxt has no output medium, only low, high"),
        (nothing, {"annotated": "outputs/a.gif"}, "outputs/a.gif as a video; its name must end in .mp4, .mkv, .avi"),
        (nothing, {"annotated": "classes.txt/a.mp4"}, "cannot write classes.txt/a.mp4: Not a directory"),
        (nothing, {"plot": "outputs"}, "cannot write outputs: Is a directory"),
        (nothing, {"annotated": "./video.avi"}, "--annotated: ./video.avi would change the source, video.avi"),
        (
            lambda: a_folder("1.png"),
            {"source": "frames", "plot": "frames/p.png"},
            "frames/p.png would change the source",
        ),
        (nothing, {"annotated": "outputs/a.avi", "plot": "outputs/a.avi"}, "--plot: outputs/a.avi is the file of"),
        (diverged, {"weights": "diverged.caffemodel"}, "video.avi, 0.00 s: .*not finite"),
        (nothing, {"fps": 0}, "--fps: 0 is not a number above 0"),
        (nothing, {"size": 9}, "17 x 17 crop does not fit"),
        (nothing, {"gpu": 3}, "--gpu 3: "),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(classify, prepare, options, said):
    prepare()
    before = sorted(Path(".").rglob("*"))
    options = {"annotated": "outputs/a.mp4", "plot": "outputs/p.png", **options}
    status, _, error = classify(**options)
    # beside a progress bar, where the work had begun
    lines = [line for line in re.split("[\r\n]", error) if line.strip() and "frame/s" not in line]
    assert status == 2 and len(lines) == 1 and re.search(said, lines[0]), error
    assert lines[0].startswith("classify_video.py: ")
    assert sorted(Path(".").rglob("*")) == before


def test_an_error_has_no_traceback():
    status, out, error = runs.run("classify_video", *words("gone.avi"))
    assert (status, out, error) == (2, "", "classify_video.py: video: no such file: gone.avi\n")


def test_a_broken_off_video_gives_what_is_there(classify):
    data = Path("video.avi").read_bytes()
    Path("cut.avi").write_bytes(data[: len(data) * 2 // 3])
    status, lines, error = classify("cut.avi")
    assert status == 0 and 5 < len(lines) < 15 and "cut.avi: broken off: its frames end at" in error


def test_control_c_leaves_nothing_of_a_file():
    write_avi(Path("long.avi"), 5000)
    process = runs.start("classify_video", *words("long.avi", fps=25, annotated="outputs/a.mp4", plot="outputs/p.png"))
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in error and "Traceback" not in error
    assert not os.listdir("outputs")


def test_a_reader_that_goes_away():
    write_avi(Path("long.avi"), 5000)
    process = runs.start("classify_video", *words("long.avi", fps=25, annotated="outputs/a.mp4"))
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(60) == 141 and "Traceback" not in error and "ignored" not in error
    assert not os.listdir("outputs")


@pytest.fixture
def camera(monkeypatch):
    """The tool's main(), called with a camera that is not one; give it options, and what happens at a frame."""
    tool = runs.module("classify_video")
    capture = cv2.VideoCapture

    def call(at=None, **options):
        class Filmed(Camera):
            def retrieve(self):
                if at:
                    at(self)
                return super().retrieve()

        monkeypatch.setattr(
            cv2,
            "VideoCapture",
            lambda source, *rest: Filmed(source) if isinstance(source, int) else capture(source, *rest),
        )
        monkeypatch.setattr(sys, "argv", ["classify_video.py", *words(0, **options)])
        return tool.main()

    return call


def test_control_c_ends_a_camera_and_completes_its_outputs(camera, capsys):
    def press(filmed):
        if filmed.shown > 8:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    assert camera(press, annotated="outputs/a.mp4", plot="outputs/p.png") is None
    lines = capsys.readouterr().out.splitlines()
    assert sorted(os.listdir("outputs")) == ["a.mp4", "p.png"]
    count = len(list(sample("outputs/a.mp4")))
    assert 2 <= count <= 4 and lines[count].startswith(f"{count} frames, ") and len(lines) == count + 3
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_control_c_ends_at_once(camera):
    def press(filmed):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        camera(press, annotated="outputs/a.mp4")
    assert not os.listdir("outputs")


def test_seconds_end_a_camera(camera, capsys):
    handler = signal.getsignal(signal.SIGINT)
    camera(seconds=0.7)
    assert signal.getsignal(signal.SIGINT) is handler
    times = [float(line.split(" s ")[0]) for line in capsys.readouterr().out.splitlines()[:-1]]
    assert len(times) == 4 and times == pytest.approx([0, 0.2, 0.4, 0.6], abs=0.15)


def test_a_camera_that_gives_no_frame(camera, monkeypatch):
    monkeypatch.setattr(Camera, "frames", 0)
    with pytest.raises(InputError, match="0: the camera gives no frame"):
        camera(plot="outputs/p.png")
    assert not os.listdir("outputs")


def resident(process):
    """Return the resident memory of a process in bytes, None once it has ended."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(match[1]) * 1024 if match else None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow():
    """Held frames would be 26 MB a hundred."""
    write_avi(Path("long.avi"), 1200, height=240, width=360)
    process = runs.start("classify_video", *words("long.avi", fps=25, annotated="outputs/a.mp4", plot="outputs/p.png"))
    measured = []
    for line in process.stdout:
        if re.match(r" +\d", line):
            measured.append(resident(process))
    assert process.wait(60) == 0 and len(measured) == 1200
    assert max(filter(None, measured[125:])) - measured[125] < 4e6
