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
from calls import caller, words
from nets import Tiny, images
from random_nets import write_tiny
from test_plots import pixels
from test_video import Camera
from videos import numbered, write_avi

from rcnn import command
from rcnn.data.crops import MEAN
from rcnn.data.video import sample
from rcnn.experiments import plots
from rcnn.files import InputError
from rcnn.stream import Classifier

CLASSES = ["Archery", "Bowling", "Diving", "Fencing", "Rowing", "Surfing"]
OPTIONS = dict(net="recurrent.prototxt", weights="rcnn.caffemodel", classes="classes.txt")
LONG = dict(**OPTIONS, fps=25, annotated="outputs/a.mp4")
WORD = re.compile(r"(\S+) (\d\.\d{3})")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with nets, classes and a video of 3 seconds, 15 frames of which are at 5 frames a second."""
    monkeypatch.chdir(tmp_path)
    Path("classes.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(CLASSES, 1)))
    write_tiny(Path("."), Tiny(classes=6, size=17), 0.05)
    writer = cv2.VideoWriter("video.avi", cv2.VideoWriter_fourcc(*"XVID"), 25, (160, 120))
    for image in np.repeat(images(np.random.default_rng(3), 15, 120), 5, axis=0):
        writer.write(cv2.resize(image, (160, 120)))
    writer.release()
    Path("outputs").mkdir()
    return tmp_path


@pytest.fixture
def classify(monkeypatch, capfd):
    """A function that runs the program; it returns (status, lines of standard output, standard error, Caffe's too)."""
    main = caller(monkeypatch, "classify_video", command.run, **OPTIONS)

    def call(source="video.avi", **options):
        with pytest.raises(SystemExit) as end:
            main(source, **options)
        out, error = capfd.readouterr()
        return end.value.code or 0, out.splitlines(), error

    return call


def by_hand(source, signal_name="high", mean=MEAN, scale=1.0):
    """Return the (time, frame's scores, scores so far) of (time, image) pairs."""
    classifier, scores = Classifier(OPTIONS["net"], OPTIONS["weights"], mean=mean, scale=scale), []
    row = classifier.signals.index(signal_name)
    for time, image in source:
        result = classifier.push(image)
        scores.append((time, result.frame[row], result.so_far[row]))
    return scores


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


@pytest.mark.parametrize("options", [{}, {"fps": 10, "signal": "low"}, {"scale": 0.5, "mean": "90 100 110"}])
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
    in_order, pairs, alike = classify()[1], classify(net="pair.prototxt")[1], classify(mode="pair")[1]
    assert pairs == alike and pairs[:2] == in_order[:2] and pairs[2:] != in_order[2:]


def test_seconds_end_a_file(classify):
    assert [len(classify(seconds=seconds)[1]) - 1 for seconds in (1, 1.01, 99)] == [5, 6, 15]


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
    write_tiny(Path("."), Tiny(classes=2, size=17), 0.05)
    status, lines, _ = classify(annotated="outputs/a.mp4", plot="outputs/p.png")
    assert status == 0
    for line in lines[:16]:
        (one, first), (other, second) = WORD.findall(line)
        assert {one, other} == {"Left", "Right"} and float(first) + float(second) == pytest.approx(1, abs=0.002)


def test_class_names_that_frames_cannot_show_are_told_once(classify):
    Path("classes.txt").write_text("1 走路\n2 _background\n")
    write_tiny(Path("."), Tiny(classes=2, size=17), 0.05)
    status, lines, error = classify(annotated="outputs/a.mp4")
    assert status == 0 and "走路" in lines[0] and "_background" in lines[0]
    assert error.count("frames show ASCII alone: 1 class names, the first 走路, have ? for the rest") == 1


def test_annotated_video_and_plot(classify, monkeypatch):
    drawn, draw = [], plots.scores_over_time
    monkeypatch.setattr(plots, "scores_over_time", lambda *arguments: drawn.append(arguments) or draw(*arguments))
    status, lines, _ = classify(annotated="outputs/a.mp4", plot="outputs/p.png")
    assert status == 0 and lines[-2:] == ["annotated video: outputs/a.mp4", "scores over time: outputs/p.png"]
    assert sorted(os.listdir("outputs")) == ["a.mp4", "p.png"]
    shown = [image for _, image in sample("outputs/a.mp4")]
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
        wanted = [[part[CLASSES.index(name)] for part in row[1:]] for row in expected]
        assert np.allclose(np.transpose(curve), wanted, atol=1e-6)
    assert all(pixels("outputs/p.png", colour) > 50 for colour in plots.COLOURS[:5])


def test_a_source_slower_than_fps_is_reported(classify):
    write_avi(Path("slow.avi"), 4, rate=2)
    status, lines, error = classify("slow.avi")
    assert status == 0 and len(lines) == 3 + 1
    assert "slow.avi: 3 of 6 instants had no frame of their own" in error


def diverged():
    made = caffe.Net(OPTIONS["net"], caffe.TEST, weights=OPTIONS["weights"])
    made.params["three/fc"][0].data[...] = 1e38
    made.save("diverged.caffemodel")


def a_folder(*names):
    Path("frames").mkdir()
    for name in names:
        Path("frames", name).write_bytes(b"no image") if "bad" in name else cv2.imwrite(f"frames/{name}", numbered(1))


@pytest.mark.parametrize(
    "prepare, options, said",
    [
        (None, {"source": "gone.avi"}, "video: no such file: gone.avi"),
        (None, {"source": "classes.txt"}, "classes.txt: the file is damaged or not a video"),
        (lambda: write_avi(Path("none.avi"), 0), {"source": "none.avi"}, "none.avi: it has no frame that can be"),
        (a_folder, {"source": "frames"}, "frames: no image in frames"),
        (lambda: a_folder("1.png", "2bad.png"), {"source": "frames"}, "frames/2bad.png is damaged or not an image"),
        (None, {"source": "97"}, "camera 97: it is not there"),
        (None, {"weights": "cnn.caffemodel"}, "weights: cnn.caffemodel lacks 3 of the net's layers"),
        (None, {"net": "frame.prototxt"}, "net: frame.prototxt sees single frames"),
        (None, {"net": "pair.prototxt", "mode": "recurrent"}, "--mode recurrent: the net is of kind pair, for pair"),
        (None, {"classes": "gone"}, "class list: no such file: gone"),
        (lambda: Path("two.txt").write_text("1 A\n2 B\n"), {"classes": "two.txt"}, "has 2 classes, .*prototxt has 6"),
        (None, {"signal": "medium"}, "--signal: recurrent.prototxt has no output medium, only low, high"),
        (None, {"annotated": "outputs/a.gif"}, "outputs/a.gif as a video; its name must end in .mp4, .mkv, .avi"),
        (None, {"plot": "video.avi/p.png"}, "cannot write video.avi/p.png: Not a directory"),
        (None, {"annotated": "./video.avi"}, "--annotated: ./video.avi is what SOURCE reads"),
        (lambda: a_folder("1.png"), {"source": "frames", "plot": "frames/p.png"}, "lies in frames, which"),
        (None, {"annotated": "x.png", "plot": "x.png"}, "--plot: x.png is the file of --annotated too"),
        (diverged, {"weights": "diverged.caffemodel"}, "video.avi, 0.00 s: .*not finite"),
        (None, {"fps": 0}, "--fps: 0 is not a number above 0"),
        (None, {"size": 9}, "17 x 17 crop does not fit"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(classify, prepare, options, said):
    if prepare:
        prepare()
    before = sorted(Path(".").rglob("*"))
    status, _, error = classify(**{"annotated": "outputs/a.mp4", "plot": "outputs/p.png", **options})
    # beside a progress bar, where the work had begun
    begun = "not finite" in said or "2bad" in said
    lines = [line for line in re.split("[\r\n]", error) if line.strip() and not (begun and "frame/s" in line)]
    assert status == 2 and len(lines) == 1 and re.search(said, lines[0]), error
    assert lines[0].startswith("classify_video.py: ")
    assert sorted(Path(".").rglob("*")) == before


def test_a_broken_off_video_gives_what_is_there(classify):
    data = Path("video.avi").read_bytes()
    Path("cut.avi").write_bytes(data[: len(data) * 2 // 3])
    status, lines, error = classify("cut.avi")
    assert status == 0 and 5 < len(lines) < 15 and "cut.avi: broken off: it ends at" in error


@pytest.mark.parametrize("goes_away, status", [(False, 130), (True, 141)])
def test_control_c_or_a_reader_that_goes_away_leave_nothing_of_a_file(goes_away, status):
    write_avi(Path("long.avi"), 2000)
    process = runs.start("classify_video", *words("long.avi", **LONG, plot="outputs/p.png"))
    for _ in range(20):
        process.stdout.readline()
    if goes_away:
        process.stdout.close()
    else:
        process.send_signal(signal.SIGINT)
    error = process.stderr.read()
    assert process.wait(60) == status and ("interrupted" in error) != goes_away
    assert "Traceback" not in error and "ignored" not in error and not os.listdir("outputs")


@pytest.fixture
def camera(monkeypatch):
    """The tool's main(), called with a camera that is not one; give it options, and what happens at a frame."""
    main, capture = caller(monkeypatch, "classify_video", **OPTIONS), cv2.VideoCapture

    def call(at=None, **options):
        class Filmed(Camera):
            def retrieve(self):
                if at:
                    at(self)
                return super().retrieve()

        def opened(source, *rest):
            return Filmed(source) if isinstance(source, int) else capture(source, *rest)

        monkeypatch.setattr(cv2, "VideoCapture", opened)
        return main(0, **options)

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
    write_avi(Path("long.avi"), 600, height=240, width=360)
    process = runs.start("classify_video", *words("long.avi", **LONG, plot="outputs/p.png"))
    measured = []
    for line in process.stdout:
        if re.match(r" +\d", line):
            measured.append(resident(process))
    assert process.wait(60) == 0 and len(measured) == 600
    assert max(filter(None, measured[125:])) - measured[125] < 4e6
