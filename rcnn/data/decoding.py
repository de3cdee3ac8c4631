"""The frames of a video as FFmpeg decodes them: their times, sizes and turns, and what it reports of damage."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Optional, cast

import av
import numpy as np
from av import VideoFrame, VideoStream
from av.video.reformatter import Interpolation, VideoReformatter

from rcnn.files import InputError

DECODER = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"

BT601, MATRICES = 5, (1, 4, 7, 9)  # FFmpeg's numbers of the matrices between YUV and RGB that are other than BT.601's

# FFmpeg's errors are counted then, and not written: they name neither file nor remedy.
av.logging.set_level(av.logging.PANIC)


class VideoError(InputError):
    """A video that gives no frames; the message is the reason, without the video's name."""


class Reader:
    """A video that is open, and read once from its beginning to its end.

    Its one thread makes a damaged video decode alike each time, on any machine.

    Parameters
    ----------
    url : a path, or an address, as FFmpeg takes it
    warnings : at the end of the frames, text is appended that says what FFmpeg reported of damage, and whether the
        video ends before its time
    timeout : seconds after which what does not answer is given up; None for never

    Attributes
    ----------
    gap : seconds from one frame to the next at the nominal rate; 0.04 where the video has none
    duration : seconds that the container promises, None where it does not

    Raises
    ------
    VideoError
        If it is no video that can be decoded.
    """

    def __init__(self, url: str, warnings: list[str], timeout: Optional[float] = None) -> None:
        try:
            self._container = av.open(url, metadata_errors="replace", timeout=timeout)
        except av.InvalidDataError:
            raise VideoError("the file is damaged or not a video: FFmpeg cannot open it") from None
        except av.ExitError:
            raise VideoError(f"no answer for {timeout} s") from None
        except av.FFmpegError as error:
            raise VideoError(f"FFmpeg cannot open it: {error.strerror}") from None
        stream = self._container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            self._container.close()
            raise VideoError("it has no video of a kind that FFmpeg can decode")
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        self._stream, self._warnings, self._base = stream, warnings, stream.time_base or Fraction(1, av.time_base)
        self._conversions: dict[tuple[int, int, str], tuple[VideoReformatter, dict[str, Any]]] = {}
        self._turned = False
        rate = stream.guessed_rate or stream.average_rate
        self.gap = float(1 / rate) if rate else 0.04
        self.duration = self._container.duration and self._container.duration / av.time_base
        # An AVI stores no times of presentation; those of decoding, which a frame leaves the decoder with, are these.
        self._by_dts = self._container.format.name == "avi"
        if self._by_dts:  # FFmpeg cuts the duration to the size of a file that breaks off
            self.duration = max(self.duration or 0.0, stream.frames * self.gap) or None

    def expected(self, fps: float) -> Optional[int]:
        """Return how many frames there are at a rate by what the container says, None where it says nothing."""
        length = float(self._stream.duration * self._base) if self._stream.duration else self.duration
        return int(max(0.0, length - self.gap) * fps + 1.001) if length else None

    def frames(self) -> Iterator[tuple[float, VideoFrame]]:
        """Yield (seconds from the first frame on, rising; picture, of `image`) of every frame that can be decoded.

        A frame without a time of its own, or with one that does not rise, follows the one before it by one gap.
        """
        ticks, second = self._base.as_integer_ratio()
        first, time = 0.0, None
        with self._container:
            for frame in self._decoded():
                stamp = frame.dts if self._by_dts else frame.pts
                own = None if stamp is None else stamp * ticks / second - first
                if time is None:
                    first, time = own or 0.0, 0.0
                    self._turned = "DISPLAYMATRIX" in frame.side_data  # slow, and `rotation` is 0 where it only mirrors
                else:
                    time = own if own is not None and own > time else time + self.gap
                yield time, frame
        if time is None:
            raise VideoError("it has no frame that can be decoded")

    def _decoded(self) -> Iterator[VideoFrame]:
        """Yield the decoded frames; what FFmpeg reports on the way goes to the warnings."""
        coded = flawed = corrupt = 0
        ends, cut = dict[int, int](), False  # of each stream, in its own units
        step = int(self.gap / self._base)
        for packet, flaw in self._packets():
            own = packet is None or packet.stream is self._stream
            if packet is None or not packet.size:  # the end, after which the decoder gives what it still holds
                cut, flaw = cut or flaw, False
            else:
                coded += own
                stamp, index = packet.dts if packet.pts is None else packet.pts, packet.stream_index
                if stamp is not None:
                    ends[index] = max(ends.get(index, 0), stamp + (packet.duration or (step if own else 0)))
            if own:
                reports = _reports()
                try:
                    frames = self._stream.decode(packet)
                except av.FFmpegError:
                    frames, flaw = [], True
                flaw = flaw or _reports() > reports
                for frame in frames:
                    corrupt += frame.is_corrupt
                    yield frame
            flawed += flaw
        end = max((ticks * (self._container.streams[index].time_base or 0) for index, ticks in ends.items()), default=0)
        if self.duration and self.duration - end > 0.75 * self.gap:
            self._warnings.append(f"broken off: it ends at {float(end):.2f} s of {self.duration:.2f} s")
        elif cut:
            self._warnings.append("broken off: FFmpeg reports an error at its end")
        if flawed or corrupt:
            self._warnings.append(
                f"damaged: FFmpeg reports errors in {max(flawed, corrupt)} of {coded} coded frames; these are given as "
                "far as they can be decoded, or are missing"
            )

    def _packets(self) -> Iterator[tuple[Optional[av.Packet], bool]]:
        """Yield (packet of any stream, None where reading fails and ends; whether FFmpeg reports an error in it)."""
        packets = self._container.demux()
        while True:
            reports = _reports()
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                yield None, True
                return
            if packet is None:
                return
            yield packet, packet.is_corrupt or _reports() > reports

    def image(self, frame: VideoFrame) -> np.ndarray:
        """Return a picture of `frames` the way up that it is shown, uint8 height x width x 3, BGR."""
        kind = frame.colorspace, frame.color_range, frame.format.name
        if kind not in self._conversions:
            yuv = not (frame.format.is_rgb or frame.format.has_palette)
            self._conversions[kind] = (
                VideoReformatter(),
                {
                    "format": "bgr24",
                    "interpolation": int(Interpolation.BICUBIC),
                    "src_colorspace": frame.colorspace if yuv and frame.colorspace in MATRICES else BT601,
                    "dst_colorspace": BT601,
                    "src_color_range": frame.color_range if yuv else 0,
                },
            )
        converter, options = self._conversions[kind]
        try:
            converted = converter.reformat(frame, **options)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"a frame of the format {kind[2]} cannot be converted: {error}") from None
        plane, width = cast(Any, converted.planes[0]), 3 * converted.width  # whose rows may end in padding
        image = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, :width].reshape(converted.height, -1, 3)
        turn = cast(Any, frame.side_data.get("DISPLAYMATRIX")) if self._turned or frame.rotation else None
        if turn is None:
            return image
        across, into_down, into_across, down = np.frombuffer(turn, np.int32)[[0, 1, 3, 4]]
        if abs(into_down) > abs(across):
            image, across, down = image.transpose(1, 0, 2), into_across, into_down
        return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def _reports() -> int:
    """Return how many errors FFmpeg has reported in this process."""
    return av.logging.get_last_error()[0]
