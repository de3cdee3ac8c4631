import os
import re
import socket
import subprocess
import sys
import time
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import av
import cv2
import numpy as np
import pytest
from videos import number_of, numbered, write_avi, write_packed, write_stamped

from rcnn.data.decoding import VideoError
from rcnn.data.video import images, open_source, resize, sample
from rcnn.files import InputError

VARIABLE = [0, 20, 100, 110, 300, 330, 400, 700, 720, 1000, 1050, 1500, 1600]


def chosen(path, fps):
    """Return the numbers of the frames that `sample` gives, after checking that their times are their own."""
    times, frames = zip(*sample(path, fps))
    assert times[0] == 0 and all(np.diff(times) > 0)
    return list(map(number_of, frames))


def called_for(times, fps):
    """The rule in exact numbers: at each k / fps to the last stamp, the last frame whose stamp has come; none twice."""
    times = [Fraction(time) - Fraction(times[0]) for time in times]
    wanted, k = [], 0
    while Fraction(k) / Fraction(fps) <= times[-1]:
        shown = max(number for number, time in enumerate(times) if time <= Fraction(k) / Fraction(fps))
        if shown not in wanted:
            wanted.append(shown)
        k += 1
    return wanted


@pytest.mark.parametrize("codec", ["XVID", "mp4v", "MJPG"])
def test_every_fifth_of_25_and_at_most_every_frame(tmp_path, codec):
    path = write_avi(tmp_path / "a.avi", 12, codec=codec)
    assert chosen(path, 5) == [0, 5, 10]
    assert [time for time, _ in sample(path, 10)] == pytest.approx([0, 0.08, 0.2, 0.28, 0.4])
    assert chosen(path, 50) == chosen(path, 1000) == chosen(path, None) == list(range(12))


@pytest.mark.parametrize("fps", [1, 5, 24, 29.97])
def test_29_97(tmp_path, fps):
    base = Fraction(1001, 30000)
    path = write_stamped(tmp_path / "a.mp4", range(100), base)
    wanted = called_for([number * base for number in range(100)], fps)
    assert chosen(path, fps) == wanted
    if fps == 5:
        assert wanted == [0, 5, 11, 17, 23, 29, 35, 41, 47, 53, 59, 65, 71, 77, 83, 89, 95]
        assert wanted != list(range(0, 100, 6)), "the test must tell time stamps from counting"


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("fps", [2, 5, 1000])
@pytest.mark.parametrize("start", [0, 3500])
def test_variable_rate(tmp_path, suffix, fps, start):
    path = write_stamped(tmp_path / f"a.{suffix}", [start + stamp for stamp in VARIABLE])
    wanted = called_for([Fraction(stamp, 1000) for stamp in VARIABLE], fps)
    assert chosen(path, fps) == wanted
    assert fps != 5 or wanted == [0, 3, 6, 8, 9, 10, 12]
    with av.open(str(path)) as container:
        stamps = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    warnings = []  # none of a start that is not 0, though Matroska's length counts from 0
    assert [time for time, _ in sample(path, None, warnings)] == pytest.approx([time - stamps[0] for time in stamps])
    assert warnings == []


def test_packed_b_frames(tmp_path):
    path = write_packed(tmp_path / "a.avi", 40)
    assert [number_of(image) for _, image in sample(path)] == list(range(40))
    assert [time for time, _ in sample(path)] == pytest.approx([number / 25 for number in range(40)])
    warnings = []
    assert [number_of(image) for _, image in sample(path, 5, warnings)] == list(range(0, 40, 5))
    assert warnings == []


@pytest.mark.parametrize("content, reason", [(b"", "the file is empty"), (os.urandom(50000), "not a video")])
def test_not_a_video(tmp_path, content, reason):
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(VideoError, match=reason):
        list(sample(tmp_path / "a.avi", 5))


def test_no_frame_and_no_file(tmp_path):
    with pytest.raises(VideoError, match="no frame"):
        list(sample(write_avi(tmp_path / "a.avi", 0), 5))
    with pytest.raises(InputError, match="no such file"):
        list(sample(tmp_path / "b.avi", 5))


def test_broken_off(tmp_path):
    path = write_avi(tmp_path / "a.avi", 100)
    whole, warnings = path.read_bytes(), []
    path.write_bytes(whole[: len(whole) // 2])
    numbers = [number_of(image) for _, image in sample(path, 25, warnings)]
    # The frame in which the file ends is shown with what is there of it.
    assert 20 < len(numbers) < 80 and numbers[:-1] == list(range(len(numbers) - 1))
    assert re.fullmatch(r"broken off: it ends at \d\.\d\d s of 4\.00 s", warnings[0])
    assert warnings[1].startswith(f"damaged: FFmpeg reports errors in 1 of {len(numbers)} coded frames")


def test_grey_and_odd_sizes(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "grey.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (161, 121), False)
    for number in range(4):
        writer.write(numbered(number, 121, 161)[:, :, 0].copy())
    writer.release()
    for path in (tmp_path / "grey.avi", write_avi(tmp_path / "odd.avi", 4, codec="MJPG", height=121, width=163)):
        for number, (_, image) in enumerate(sample(path)):
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            assert number_of(resize(image, 64)) == number and resize(image, 64).shape == (64, 64, 3)


def test_resize_is_bilinear_and_averages_when_it_halves():
    random = np.random.RandomState(0)
    image = random.randint(0, 256, (240, 320, 3), np.uint8)
    assert np.array_equal(resize(image, 256), cv2.resize(image, (256, 256), interpolation=cv2.INTER_LINEAR))
    columns = np.zeros((512, 512, 3), np.uint8)
    columns[:, ::4] = 200
    assert np.all(resize(columns, 128) == 50)


def test_decoder_is_quiet(tmp_path):
    path = write_avi(tmp_path / "a.avi", 60)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 :] = np.random.RandomState(0).bytes(len(damaged) - len(damaged) // 2)
    path.write_bytes(damaged)
    (tmp_path / "b.avi").write_bytes(b"no video")
    code = (
        "import sys\nfrom rcnn.data.video import VideoError, sample\nlist(sample(sys.argv[1], 5))\n"
        "try: list(sample(sys.argv[2], 5))\nexcept VideoError: pass"
    )
    command = [sys.executable, "-c", code, path, tmp_path / "b.avi"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


@pytest.fixture
def served(tmp_path):
    """The address of an HTTP server of the folder of the test."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_video_at_an_address(tmp_path, served):
    write_stamped(tmp_path / "v.mkv", range(30), Fraction(1, 25))
    source = open_source(f"{served}/v.mkv", 5)
    assert (source.total, source.live) == (6, False)
    assert [number_of(image) for _, image in source.frames] == [0, 5, 10, 15, 20, 25]
    with pytest.raises(InputError, match=f"{served}/gone.mkv: .*404"):
        open_source(f"{served}/gone.mkv", 5)


def test_a_stream_without_an_end(tmp_path):
    """From a sender over TCP, as it comes."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{place.getsockname()[1]}"
    data = write_stamped(tmp_path / "v.ts", range(30), Fraction(1, 25), codec="mpeg2video").read_bytes()

    def send():
        with socket.create_server(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as server:
            ready.set()
            with server.accept()[0] as connection:
                connection.sendall(data)

    ready = Event()
    Thread(target=send, daemon=True).start()
    ready.wait()
    source = open_source(address, 5)
    assert source.live and source.total is None
    assert [number_of(image) for _, image in source.frames] == [0, 5, 10, 15, 20, 25]


def test_a_pipe(tmp_path):
    data = write_stamped(tmp_path / "v.ts", range(30), Fraction(1, 25), codec="mpeg2video").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    Thread(target=(tmp_path / "pipe").write_bytes, args=(data,), daemon=True).start()
    source = open_source(str(tmp_path / "pipe"), 5)
    assert source.live and [number_of(image) for _, image in source.frames] == [0, 5, 10, 15, 20, 25]
    Thread(target=(tmp_path / "pipe").write_bytes, args=(b"no video" * 1000,), daemon=True).start()
    with pytest.raises(InputError, match="pipe: the file is damaged or not a video"):
        open_source(str(tmp_path / "pipe"), 5)


def write_images(folder, names, height=120, width=160):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), numbered(number, height, width))
    return folder


def test_images_come_in_natural_order(tmp_path, monkeypatch):
    """A folder whose name could be a camera's number too."""
    monkeypatch.chdir(tmp_path)
    names = ["a9.png", "a10.PNG", "a10b.jpg", "a100.jpeg", "b1.bmp", "b02.webp", "b3.tiff"]
    folder = write_images(tmp_path / "0", names)
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".hidden.png").write_bytes(b"not a frame")
    (folder / "folder").mkdir()
    source = open_source("0", 4)
    assert [file.name for file in images(folder)] == names and (source.total, source.live) == (7, False)
    frames = list(source.frames)
    assert [number_of(image) for _, image in frames] == list(range(7))
    assert [time for time, _ in frames] == [number / 4 for number in range(7)]


def test_images_of_any_kind_are_colour(tmp_path):
    folder = write_images(tmp_path / "frames", ["1.png"])
    cv2.imwrite(str(folder / "2.png"), numbered(5)[..., 0])
    cv2.imwrite(str(folder / "3.png"), numbered(6)[..., 0].astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "4.png"), np.dstack([numbered(7, 50, 64), np.full((50, 64), 9, np.uint8)]))
    pictures = [image for _, image in open_source(str(folder), 5).frames]
    assert [number_of(image) for image in pictures] == [0, 5, 6, 7]
    assert all(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 for image in pictures)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"text" * 100])
def test_an_image_that_cannot_be_read_is_named_once(tmp_path, capfd, suffix, damage):
    folder = write_images(tmp_path / "frames", ["1.png", f"2{suffix}"])
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(folder / f"2{suffix}"), noise)
    data = (folder / f"2{suffix}").read_bytes()
    (folder / f"2{suffix}").write_bytes(damage(data))
    frames = open_source(str(folder), 5).frames
    next(frames)
    with pytest.raises(InputError, match=f"frames/2{suffix} is damaged or not an image"):
        next(frames)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "name, said",
    [
        ("gone", "video: no such file: "),
        ("empty", "frames: no image in "),
        ("7", "camera 7: it is not there"),
        ("9" * 12, "camera 9+: it is not there"),
        ("/dev/video99", "camera 99: it is not there"),
        ("/dev/null", "video: /dev/null is "),
        ("http://127.0.0.1:9/v.mp4", "http://127.0.0.1:9/v.mp4: .*Connection refused"),
        ("rtsp://127.0.0.1:9/live", "rtsp://127.0.0.1:9/live: .*Connection refused"),
        ("nothing://here", "nothing://here: .*Protocol not found"),
    ],
)
def test_no_source(tmp_path, monkeypatch, capfd, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said) as error:
        open_source(name, 5)
    assert "\n" not in str(error.value) and capfd.readouterr().err == ""


@pytest.mark.parametrize("fps", [1, 7, 25])
def test_what_a_container_promises(tmp_path, fps):
    source = open_source(str(write_avi(tmp_path / "a.avi", 61)), fps)
    assert source.total == len(list(source.frames)) and not source.live


class Camera:
    """A camera of 20 frames a second that show their number; its driver holds one frame until it is grabbed."""

    frames = 40

    def __init__(self, index):
        self.began, self.last = time.monotonic(), -1

    def isOpened(self):
        return True

    def set(self, *_):
        return True

    def grab(self):
        taken = int((time.monotonic() - self.began) / 0.05)
        self.shown = self.last + 1
        if taken <= self.last:
            time.sleep(max(0, self.began + 0.05 * self.shown - time.monotonic()))
        self.last = max(self.shown, taken)
        return self.shown < self.frames

    def retrieve(self):
        return True, numbered(self.shown)

    def release(self):
        pass


def test_a_camera_is_sampled_by_the_clock(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    source = open_source("3", 5)
    assert source.live and source.total is None
    began, times = time.monotonic(), []
    for taken, image in source.frames:
        assert number_of(image) == pytest.approx(taken / 0.05, abs=2.5)  # of this moment, not the one that waits
        times.append(taken)
        if len(times) == 3:
            time.sleep(0.5)  # instants go by, and are not made up for
    assert times[0] == 0 and time.monotonic() - began > 1.4
    assert all(-0.01 < taken - instant < 0.15 for taken, instant in zip(times, [0, 0.2, 0.4, 1.0, 1.2])), times


def test_a_camera_without_a_frame(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(Camera, "frames", 0)
    with pytest.raises(VideoError, match="gives no frame"):
        list(open_source("0", 5).frames)
