"""Where the frames of a video file change their size: OpenCV would go on in the first size, with wrong pictures.

A stream repeats its header, which has the size, at frames that decoding can begin at.  A header that differs from the
first one is taken for a change.  Streams of other codecs than MPEG-1, -2 and -4, H.264 and JPEG are not looked at.
"""

import re
from pathlib import Path
from typing import Optional

import cv2

from rcnn.files import PathLike

# By OpenCV's names of codecs, what in a packet holds the size; H.264 and MPEG-4 headers reach to the next start code.
_MPEG4 = re.compile(rb"\x00\x00\x01[\x20-\x2f](.*?)(?=\x00\x00\x01|$)", re.DOTALL)
_MPEG2 = re.compile(rb"\x00\x00\x01\xb3(...)", re.DOTALL)
_H264 = re.compile(rb"\x00\x00\x01[\x27\x47\x67](.*?)(?=\x00\x00\x00|\x00\x00\x01|$)", re.DOTALL)
_JPEG = re.compile(rb"\xff\xd8.*?\xff[\xc0-\xc2]\x00..(....)", re.DOTALL)
HEADERS = {
    "FMP4": _MPEG4,
    "XVID": _MPEG4,
    "DIVX": _MPEG4,
    "DX50": _MPEG4,
    "mp4v": _MPEG4,
    "mpg1": _MPEG2,
    "mpg2": _MPEG2,
    "MPEG": _MPEG2,
    "h264": _H264,
    "H264": _H264,
    "avc1": _H264,
    "MJPG": _JPEG,
    "jpeg": _JPEG,
}


def size_change(path: PathLike) -> Optional[float]:
    """Return the time stamp, seconds, of the first packet of a video file with another header, or None.

    path: a file that cv2.VideoCapture opens.
    """
    capture = cv2.VideoCapture(str(Path(path).resolve()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
    if codec not in HEADERS or not capture.set(cv2.CAP_PROP_FORMAT, -1):  # packets instead of pictures
        return None
    first = None
    while capture.grab():
        packet = capture.retrieve()[1]
        header = HEADERS[codec].search(packet.tobytes()) if packet is not None else None
        if header and first is None:
            first = header[1]
        elif header and header[1] != first:
            return capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    return None
