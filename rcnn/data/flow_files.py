"""Middlebury's .flo files of optical flow, to compare with others' results.

A file is the float 202021.25, which spells PIEH, width and height as 32-bit integers, then rows of x and y, floats; all
little endian (Baker et al., IJCV 2011).  Values beyond 1e9 mean that the flow is not known.
"""
import struct

import numpy as np

from rcnn.files import InputError, existing, replacing

TAG = 202021.25
HEADER = struct.Struct("<fii")
MOST = 99999  # pixels a side, as Middlebury's own reader allows


def read_flo(path):
    """Return the flow in a .flo file, float32 height x width x 2 (x, y), pixels.

    Raises InputError where there is no such file, or it is not one, or not whole.
    """
    data = existing(path, "flow").read_bytes()
    if len(data) < HEADER.size or HEADER.unpack_from(data)[0] != TAG:
        raise InputError(f"flow: {path} is not a .flo file: it does not begin with PIEH")
    _, width, height = HEADER.unpack_from(data)
    if not (1 <= width <= MOST and 1 <= height <= MOST):
        raise InputError(f"flow: {path} is damaged: it says {width} x {height} pixels")
    if len(data) != HEADER.size + 8 * width * height:
        raise InputError(f"flow: {path} is damaged: {len(data)} bytes, and {width} x {height} pixels take "
                         f"{HEADER.size + 8 * width * height}")
    return np.frombuffer(data, "<f4", offset=HEADER.size).reshape(height, width, 2).astype(np.float32)


def write_flo(path, flow):
    """Write a flow, height x width x 2 (x, y), pixels, as a .flo file, whole or not at all."""
    height, width, _ = flow.shape
    with replacing(path) as part:
        part.write_bytes(HEADER.pack(TAG, width, height) + np.asarray(flow, "<f4").tobytes())
