"""What FFmpeg knows of a video against what is known of it: frames, times, sizes, turns, damage.

Times are held against ffprobe's where it is installed, else against the stamps of the packets as PyAV demuxes them.
"""

import json
import shutil
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from videos import number_of, numbered, write_avi, write_packets, write_parts, write_stamped

from rcnn.data import flow_frames
from rcnn.data.video import open_video, sample

PAIRS = """
mpeg4 avi, mpeg4 mp4, mpeg4 mkv, mpeg4 mov, mpeg4 ts, mpeg4 nut, msmpeg4 avi, mjpeg avi, mjpeg mov, mjpeg mkv,
libx264 avi, libx264 mp4, libx264 mkv, libx264 mov, libx264 flv, libx264 ts, libx264 3gp, libx265 mp4, libx265 mkv,
libx265 ts, libvpx webm, libvpx mkv, libvpx avi, libvpx-vp9 webm, libvpx-vp9 mkv, libvpx-vp9 mp4, libsvtav1 mp4,
libsvtav1 mkv, libsvtav1 webm, mpeg2video mpg, mpeg2video ts, mpeg2video vob, mpeg1video mpg, wmv2 wmv, wmv1 asf,
flv flv, ffv1 mkv, ffv1 avi, prores_ks mov, qtrle mov, huffyuv avi, rawvideo nut, gif gif, apng apng
"""
FAST = {
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"},
    "libx264": {"preset": "ultrafast"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
}
NTSC = Fraction(1001, 30000)


def read(path, fps=None):
    """Return ([time, ...], [number, ...], warnings) of a file."""
    warnings = []
    frames = [(time, number_of(image)) for time, image in sample(path, fps, warnings)]
    return [time for time, _ in frames], [number for _, number in frames], warnings


def probed(path, gap):
    """Return the times of the frames of a file, seconds from the first on, by another program."""
    if shutil.which("ffprobe"):
        command = ["ffprobe", "-v", "error", "-select_streams", "v", "-of", "json"]
        said = subprocess.run(
            [*command, "-show_entries", "frame=best_effort_timestamp_time", path], capture_output=True, check=True
        )
        stamps = [frame.get("best_effort_timestamp_time", "N/A") for frame in json.loads(said.stdout)["frames"]]
        times = []
        for stamp in stamps:  # it knows none of the last frames of an AVI
            times.append(times[-1] + gap if stamp == "N/A" else float(stamp))
    else:
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        written = "dts" if path.suffix == ".avi" else "pts"
        times = sorted(float(getattr(packet, written) * packet.time_base) for packet in packets)
    return [time - times[0] for time in times]


@pytest.mark.parametrize("pair", [tuple(pair.split()) for pair in PAIRS.split(",")])
def test_frames_and_times_of_a_codec_in_a_container(tmp_path, pair):
    codec, suffix = pair
    path = write_stamped(tmp_path / f"v.{suffix}", range(12), NTSC, FAST.get(codec), codec)
    times, numbers, warnings = read(path)
    assert numbers == list(range(12)) and warnings == []
    assert times == pytest.approx(probed(path, float(NTSC)), abs=2e-5)
    assert times == pytest.approx([number * float(NTSC) for number in range(12)], abs=0.01 if suffix == "gif" else 1e-3)


@pytest.mark.parametrize("suffix", ["mkv", "webm", "flv", "wmv", "copied.mp4", "copied.ts", "mov"])
@pytest.mark.parametrize("rate", [15, 24, 30, 60, Fraction(30000, 1001)])
def test_every_frame_at_the_own_rate_and_half_at_half(tmp_path, suffix, rate):
    """Stamps are rounded: to milliseconds, also by what is copied out of such a file, or to 600ths of a second."""
    codec = {"webm": "libvpx", "flv": "flv", "wmv": "wmv2"}.get(suffix, "mpeg4")
    path = tmp_path / f"v.{suffix}"
    if suffix == "mov":
        write_stamped(path, [round(number * 600 / rate) for number in range(60)], Fraction(1, 600))
    elif not suffix.startswith("copied"):
        write_stamped(path, range(60), 1 / Fraction(rate), FAST.get(codec), codec)
    else:
        write_stamped(tmp_path / "v.mkv", range(60), 1 / Fraction(rate), codec="mpeg2video")
        with av.open(str(tmp_path / "v.mkv")) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
    assert read(path, float(rate))[1] == list(range(60))
    assert read(path, float(rate) / 2)[1] == list(range(0, 60, 2))


def test_rounding_takes_no_frame_of_an_exact_video_early(tmp_path):
    """Frame 6 of 29.97 a second comes 0.2 ms after the instant 1/5 s, so frame 5 is on screen then."""
    assert read(write_stamped(tmp_path / "v.mp4", range(20), NTSC), 5)[1] == [0, 5, 11, 17]
    assert read(write_stamped(tmp_path / "v.avi", range(20), NTSC), 5)[1] == [0, 5, 11, 17]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_short_video_with_times_of_decoding_before_the_first_frame(tmp_path, suffix, count):
    path = write_stamped(tmp_path / f"v.{suffix}", range(count), Fraction(1, 2), {"preset": "medium"}, "libx264")
    assert read(path) == ([number / 2 for number in range(count)], list(range(count)), [])


ONE = 1 << 16
TURNS = {  # FFmpeg's display matrix (a, b, c, d): a picture's (x, y) is shown at (a x + c y, b x + d y)
    "a quarter right": ((0, ONE, -ONE, 0), lambda image: np.rot90(image, -1)),
    "a quarter left": ((0, -ONE, ONE, 0), np.rot90),
    "half": ((-ONE, 0, 0, -ONE), lambda image: image[::-1, ::-1]),
    "mirrored": ((-ONE, 0, 0, ONE), lambda image: image[:, ::-1]),
    "upside down": ((ONE, 0, 0, -ONE), lambda image: image[::-1]),
    "transposed": ((0, ONE, ONE, 0), lambda image: image.transpose(1, 0, 2)),
}


def turned(path, turn):
    """Put a matrix into the track header of an MP4 or MOV, as phones write it."""
    data, (a, b, c, d) = bytearray(path.read_bytes()), TURNS[turn][0]
    place = data.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", data, place) == (ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, place, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("suffix, codec", [("mp4", "libx264"), ("mov", "mpeg4")])
def test_frames_are_the_way_up_that_they_are_shown(tmp_path, suffix, codec, turn):
    path = write_stamped(tmp_path / f"v.{suffix}", range(3, 6), Fraction(1, 25), FAST.get(codec), codec)
    plain = [image for _, image in sample(path)]
    turned(path, turn)
    for (_, image), other in zip(sample(path), plain):
        assert image.flags.c_contiguous and np.array_equal(image, TURNS[turn][1](other))
    assert plain[0].shape == (120, 160, 3)


def test_flow_is_of_the_frames_as_they_are_shown(tmp_path):
    """What moves to the right before a quarter turn to the right moves down after it."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(96, 200)), (0, 0), 3)
    picture = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 128, 96, "yuv420p", 4_000_000
        for t in range(4):
            shown = np.ascontiguousarray(picture[:, 40 - 2 * t :][:, :128])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cv2.merge([shown] * 3), format="bgr24")))
        container.mux(stream.encode())
    turned(tmp_path / "v.mp4", "a quarter right")
    settings = flow_frames.recipe("farneback")
    for _, stored, _ in flow_frames.sample(tmp_path / "v.mp4", 25, 64, settings, []):
        motion = (stored[12:-12, 12:-12].astype(float) - 128) / 127 * settings["bound"]
        np.testing.assert_allclose(motion.mean(axis=(0, 1)), [0, 2 * 64 / 128], atol=0.15)


SMALLER = [(25, 120, 160), (25, 60, 80)]
LARGER = [(10, 48, 64), (10, 96, 128), (5, 96, 64)]


@pytest.mark.parametrize(
    "codec, suffix",
    [
        ("libvpx", "webm"),
        ("libvpx-vp9", "webm"),
        ("libvpx-vp9", "mkv"),
        ("libx265", "ts"),
        ("libx264", "ts"),
        ("mpeg2video", "ts"),
        ("mjpeg", "avi"),
    ],
)
@pytest.mark.parametrize("parts", [SMALLER, LARGER])
def test_frames_that_change_their_size(tmp_path, codec, suffix, parts):
    options = {**FAST.get(codec, {}), **({} if codec in ("mjpeg", "libx265") else {"bf": "0"})}
    path = write_parts(tmp_path / f"v.{suffix}", [(*part, options) for part in parts], codec)
    sizes, warnings = [part[1:] for part in parts for _ in range(part[0])], []
    numbers = list(range(len(sizes)))
    if codec == "mpeg2video":  # FFmpeg, ffprobe too, drops the picture that its decoder holds back at a change
        numbers = [number for number in numbers if sizes[number : number + 2] in ([sizes[number]], [sizes[number]] * 2)]
    frames = list(sample(path, None, warnings))
    assert [number_of(image) for _, image in frames] == numbers and warnings == []
    assert [image.shape[:2] for _, image in frames] == [sizes[number] for number in numbers]
    assert [time for time, _ in frames] == pytest.approx([number / 25 for number in numbers])
    assert len(list(flow_frames.sample(path, 5, 64, flow_frames.recipe("farneback"), []))) == len(sizes) // 5


@pytest.mark.parametrize(
    "codec, first, second",
    [
        ("libx264", {"bf": "0", "profile": "baseline"}, {"bf": "0", "refs": "4", "profile": "high"}),
        ("libx265", FAST["libx265"], {"preset": "medium", "x265-params": "log-level=none:bframes=0:ref=4"}),
        ("mpeg2video", {"bf": "0"}, {"bf": "0", "intra_vlc": "1", "alternate_scan": "1"}),
        ("mpeg4", {"bf": "0"}, {"bf": "0", "quarter_sample": "1", "flags": "+qpel", "mpeg_quant": "1"}),
    ],
)
def test_another_header_and_the_same_size(tmp_path, codec, first, second):
    path = write_parts(tmp_path / "v.ts", [(25, 96, 128, first), (25, 96, 128, second)], codec)
    assert read(path)[1:] == (list(range(50)), [])


@pytest.mark.parametrize(
    "name, options",
    [
        ("v.mkv", {"sound": 5}),
        ("v.webm", {"sound": 2, "codec": "libvpx"}),
        ("v.mp4", {"sound": 5}),
        ("stays.mp4", {"stays": 75}),
        ("stays.mov", {"stays": 200}),
        ("stays.mkv", {"stays": 75}),
    ],
)
def test_a_whole_video_is_not_called_broken_off(tmp_path, name, options):
    path = write_stamped(tmp_path / name, range(25), Fraction(1, 25), **options)
    assert read(path)[1:] == (list(range(25)), [])


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("start", [7, 20])
def test_a_video_trimmed_by_its_edit_list(tmp_path, suffix, start):
    """What is before the start is there for decoding alone."""
    path = write_stamped(tmp_path / f"v.{suffix}", range(30), Fraction(1, 25), {"bf": "0"})
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12
    length, media_start = struct.unpack_from(">Ii", data, place)
    assert length == 1200 and media_start == 0
    with av.open(str(path)) as container:
        ticks = 1 / (25 * container.streams.video[0].time_base)
    struct.pack_into(">Ii", data, place, length - 40 * start, int(start * ticks))
    path.write_bytes(data)
    times, numbers, warnings = read(path)
    assert numbers == list(range(start, 30)) and warnings == []
    assert times == pytest.approx([number / 25 for number in range(30 - start)])


@pytest.mark.parametrize("name, options", [("v.mkv", {}), ("v.webm", {"codec": "libvpx"}), ("w.mkv", {"sound": 5})])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_broken_off(tmp_path, name, options, share):
    path = write_stamped(tmp_path / name, range(100), Fraction(1, 25), **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    _, numbers, warnings = read(path)
    assert 10 < len(numbers) and numbers[:-1] == list(range(len(numbers) - 1))
    assert warnings[0].startswith("broken off: it ends at ") and len(numbers) < 100 or options


def damaged(path, *places):
    data = bytearray(path.read_bytes())
    for place in places:
        start = int(place * len(data))
        data[start : start + 60] = np.random.default_rng(start).bytes(60)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name, codec",
    [("v.avi", "mpeg4"), ("v.avi", "mjpeg"), ("v.mkv", "libx264"), ("v.ts", "mpeg2video"), ("v.mkv", "libsvtav1")],
)
def test_damage_is_told_where_the_decoder_knows(tmp_path, name, codec):
    path = write_stamped(tmp_path / name, range(100), Fraction(1, 25), FAST.get(codec), codec)
    assert read(path)[2] == []
    damaged(path, 0.3, 0.6)
    told = read(path)[2]
    assert told and told[-1].startswith("damaged: FFmpeg reports errors in "), told
    assert read(path)[2] == told


def test_damage_is_counted(tmp_path):
    """Three JPEGs of twenty that are each cut in the middle."""
    pictures = [cv2.imencode(".jpg", numbered(t, 96, 128))[1].tobytes() for t in range(20)]
    for t in (4, 9, 15):
        pictures[t] = pictures[t][: len(pictures[t]) // 2]
    path = write_packets(tmp_path / "v.avi", pictures)
    _, numbers, warnings = read(path)
    assert numbers == [number for number in range(20) if number not in (4, 9, 15)]
    assert warnings == [
        "damaged: FFmpeg reports errors in 3 of 20 coded frames; these are given as far as they can be decoded, or are "
        "missing"
    ]


def test_colours_are_by_the_matrix_and_range_that_the_video_names(tmp_path):
    """BT.709 in its narrow range, and BT.601 in the whole of 8 bits, against the equations."""
    y, u, v = 120, 90, 180
    for matrix, span, kr, kb in ((1, 1, 0.2126, 0.0722), (5, 2, 0.299, 0.114), (6, 1, 0.299, 0.114)):
        path = tmp_path / f"{matrix}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.colorspace, stream.codec_context.color_range = matrix, span
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane, value in zip(frame.planes, (y, u, v)):
                plane.update(bytes([value]) * plane.buffer_size)
            container.mux([*stream.encode(frame), *stream.encode()])
        low, scale, half = (0, 1.0, 1.0) if span == 2 else (16, 255 / 219, 255 / 224)
        grey, blue, red = (y - low) * scale, (u - 128) * 2 * (1 - kb) * half, (v - 128) * 2 * (1 - kr) * half
        wanted = [grey + blue, grey - (kb * blue + kr * red) / (1 - kb - kr), grey + red]
        ((_, image),) = sample(path)
        np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), wanted, atol=2)


def test_real_clips_have_the_frames_that_opencv_gave(real_data):
    """All 490, in about 15 s of one core, by what OpenCV 4.11 gave when it read each to its last frame.

    The headers of UCF-101's clips claim up to 8 frames more than there are.
    """
    counts = json.loads((Path(__file__).parent / "real_frame_counts.json").read_text())
    clips = {real_data / folder / name: count for folder, names in counts.items() for name, count in names.items()}
    assert len(clips) == 490 and sum(clips.values()) == 56639

    def count(path):
        warnings = []
        times = [time for time, _ in open_video(path, warnings).frames()]
        assert all(np.diff(times) > 0) and warnings == [], path
        return len(times)

    with ThreadPoolExecutor() as executor:
        assert dict(zip(clips, executor.map(count, clips))) == clips


def test_a_path_that_ffmpeg_would_misread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http:v.avi", "a b%03d.avi", "-v.avi", b"\xe9t\xe9.avi".decode(errors="surrogateescape")):
        write_avi(tmp_path / "plain.avi", 3).rename(tmp_path / name)
        assert read(name)[1] == [0, 1, 2]
