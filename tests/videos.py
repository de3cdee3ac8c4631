"""Small video files for tests: every frame carries its number, so that a test can see which frame it was given."""

import os
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
from runs import options

BITS = 8


def numbered(number, height=120, width=160):
    """Return an image (uint8 height x width x 3) that shows `number`, 0 to 255, as eight dark or bright columns."""
    bits = [number >> bit & 1 for bit in range(BITS)]
    columns = np.array(bits)[np.arange(width) * BITS // width]
    return np.repeat(np.uint8(30 + 190 * columns)[None, :, None], height, axis=0).repeat(3, axis=2)


def number_of(image):
    """Return the number that an image of `numbered` shows, after any codec and resizing."""
    columns = np.array_split(image.mean(axis=(0, 2)), BITS)
    return sum(int(np.median(column) > 125) << bit for bit, column in enumerate(columns))


def write_avi(path, count, rate=25, codec="XVID", height=120, width=160):
    """Write frames 0 to count - 1 at a fixed rate, an MPEG-4 AVI as UCF-101's unless `codec` says otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    assert writer.isOpened()
    for number in range(count):
        writer.write(numbered(number, height, width))
    writer.release()
    return path


def make_set(folder, videos=4, frames=30):
    """Make videos of two classes and their lists (two to test, the others to train); return build_frames's options."""
    groups = range(1, videos // 2 + 1)
    names = [f"{kind}/v_{kind}_g{group:02d}_c01.avi" for group in groups for kind in ("Archery", "Biking")]
    for name in names:
        write_avi(folder / "videos" / name, frames)
    (folder / "classInd.txt").write_text("1 Archery\r\n2 Biking\r\n")
    (folder / "testlist01.txt").write_text("".join(f"{name}\n" for name in names[:2]))
    lists = [folder / "testlist01.txt"]
    if names[2:]:
        lists.insert(0, folder / "trainlist01.txt")
        lists[0].write_text("".join(f"{name} {1 + name.startswith('B')}\r\n" for name in names[2:]))
    return options(videos=folder / "videos", classes=folder / "classInd.txt", workers=2, list=lists)


def write_motion(path, frames=13, height=96, width=128, shift=(2, 1), grey=False, seed=0):
    """Write a video at 25 frames a second of a texture that moves by `shift` pixels a frame."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(height + 80, width + 80, 3)), (0, 0), 3)
    picture = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    if grey:
        picture[...] = picture[..., :1]
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (width, height))
    for t in range(frames):
        writer.write(picture[40 - t * shift[1] :, 40 - t * shift[0] :][:height, :width])
    writer.release()
    return path


def flow_set(folder, **kinds):
    """Write videos {name: options of write_motion} and their lists; return build_frames's options, with farneback."""
    for name, kind in kinds.items():
        write_motion(folder / f"videos/Archery/v_{name}.avi", **kind)
    (folder / "classInd.txt").write_text("1 Archery\n")
    (folder / "list.txt").write_text("".join(f"Archery/v_{name}.avi\n" for name in kinds))
    files = options(videos=folder / "videos", classes=folder / "classInd.txt", list=folder / "list.txt")
    return files + options(flow="farneback", size=64, workers=1)


def write_stamped(path, stamps, base=Fraction(1, 1000), options=None, codec="mpeg4", sound=0, stays=None):
    """Write one numbered frame at each time stamp.

    stamps: whole numbers, in units of `base` seconds.  sound: seconds of silence beside the frames.  stays: how long
    the last frame is shown, in units of `base`.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=1 / base, options=options)
        _set_up(stream, 120, 160)
        stream.codec_context.time_base = base
        heard = container.add_stream("libopus" if path.suffix == ".webm" else "aac", 48000) if sound else None
        packets = []
        for number, stamp in enumerate(stamps):
            packets += stream.encode(_frame(number, stamp, base))
        packets += stream.encode()
        if codec == "libsvtav1":  # run as root, it has given this process real-time priority
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        if stays:
            max(packets, key=lambda packet: packet.pts).duration = stays
        container.mux(packets)
        for _ in range(round(50 * sound)):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), layout="mono")
            silence.sample_rate = 48000
            container.mux(heard.encode(silence))
        container.mux(heard.encode() if sound else [])
    return path


def write_parts(path, parts, codec):
    """Write numbered frames at 25 a second, one encoder after another, as a stream that changes on its way.

    parts: [(number of frames, height, width, options), ...]
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=parts[0][3])
        _set_up(stream, *parts[0][1:3])
        number = 0
        for count, height, width, options in parts:
            encoder = av.CodecContext.create(codec, "w")
            encoder.options, encoder.time_base, encoder.framerate = options, Fraction(1, 25), Fraction(25)
            _set_up(encoder, height, width)
            pictures = [_frame(number + t, number + t, Fraction(1, 25), height, width) for t in range(count)]
            for packet in [packet for picture in [*pictures, None] for packet in encoder.encode(picture)]:
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                container.mux(packet)
            number += count
    return path


def _set_up(encoder, height, width):
    """Set size, rate and a pixel format that a codec has."""
    codec = getattr(encoder, "codec_context", encoder).codec
    formats = [each.name for each in codec.video_formats or []]
    wanted = "yuvj420p" if codec.name == "mjpeg" else "yuv420p"
    encoder.pix_fmt = wanted if wanted in formats or not formats else formats[0]
    encoder.width, encoder.height, encoder.bit_rate = width, height, 4_000_000


def _frame(number, stamp, base, height=120, width=160):
    frame = av.VideoFrame.from_ndarray(numbered(number, height, width), format="bgr24")
    frame.pts, frame.time_base = stamp, base
    return frame


def write_packed(path, count):
    """Write an AVI with packed B frames, as UCF-101's are.

    A B frame shares the chunk of the frame that is shown after it, and an empty frame follows in a chunk of its own.
    """
    plain = write_stamped(path.with_suffix(".plain.avi"), range(count), Fraction(1, 25), {"bf": "1", "b_strategy": "0"})
    with av.open(str(plain)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    plain.unlink()
    picture, bidirectional = b"\x00\x00\x01\xb6", 2
    kinds = [packet[packet.index(picture) + 4] >> 6 for packet in packets]
    assert bidirectional in kinds
    packed = []
    for packet, kind in zip(packets, kinds):
        if kind == bidirectional:
            packed[-1] += packet
            packed.append(picture + b"\x50\x7f")
        else:
            packed.append(packet)
    mark = packed[0].index(picture)
    packed[0] = packed[0][:mark] + b"\x00\x00\x01\xb2DivX503b1393p" + packed[0][mark:]
    path.write_bytes(_avi(packed, 25, 160, 120))
    return path


def write_packets(path, packets, rate=25, codec=b"MJPG", width=128, height=96):
    """Write an AVI of coded frames as they are, whatever their sizes."""
    path.write_bytes(_avi(packets, rate, width, height, codec))
    return path


def _avi(packets, rate, width, height, codec=b"XVID"):
    """Return an AVI file of one stream."""
    main = struct.pack("<14I", 1_000_000 // rate, 0, 0, 0x10, len(packets), 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = struct.pack(
        "<4s4sIHH8I4H", b"vids", codec, 0, 0, 0, 0, 1, rate, 0, len(packets), 0, 2**32 - 1, 0, 0, 0, width, height
    )
    image = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, codec, width * height * 3, 0, 0, 0, 0)
    header = b"hdrl" + _chunk(b"avih", main)
    header += _chunk(b"LIST", b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", image))
    movie, index = b"movi", b""
    for packet in packets:
        index += b"00dc" + struct.pack("<III", 0x10 if not index else 0, len(movie), len(packet))
        movie += _chunk(b"00dc", packet)
    return _chunk(b"RIFF", b"AVI " + _chunk(b"LIST", header) + _chunk(b"LIST", movie) + _chunk(b"idx1", index))


def _chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
