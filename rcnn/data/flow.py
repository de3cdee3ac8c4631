"""Dense optical flow by OpenCV's methods (Sec. 3.4), and its 8-bit form.

    flow.compute("brox", previous, frame)    float32 height x width x 2, pixels: x to the right, y down
    flow.available()                         the methods that this machine has

The flow at a pixel of the first image says where in the second image it went.  8-bit flow has 128 where nothing moves,
and 127 / bound grey levels a pixel of motion.
"""

from typing import Any

import cv2
import numpy as np

from rcnn.files import InputError

METHODS = ("brox", "dis", "farneback", "tvl1")
CHANNELS = 2
ZERO = 128  # 8-bit flow of no motion
BOUND = 20.0  # pixels; as is usual in two-stream work
LEAST_SIDE = 16  # pixels; DIS fails below

# What each method is run with, and where that is from.
PARAMETERS: dict[str, dict[str, Any]] = {
    # Brox et al., ECCV 2004, as OpenCV's CUDA code has it: the values of OpenCV's own sample, optical_flow.cpp.
    "brox, CUDA": {
        "alpha": 0.197,
        "gamma": 50.0,
        "scale_factor": 0.8,
        "inner_iterations": 10,
        "outer_iterations": 77,
        "solver_iterations": 10,
    },
    # The same energy by cv2.VariationalRefinement: its own weights of constant grey value and gradient, and
    # fixed_point_iterations; the others were chosen on synthetic pairs (tests/test_flow.py).  Its smoothness, 20, was
    # worse than 30 on all of them, and on a disc that moves over a still background.
    "brox, CPU": {
        "alpha": 30.0,
        "delta": 5.0,
        "gamma": 10.0,
        "scale_factor": 0.8,
        "smoothing": 0.8,
        "warps": 5,
        "fixed_point_iterations": 5,
        "solver_iterations": 20,
        "relaxation": 1.9,
    },
    # Kroeger et al., ECCV 2016: OpenCV's preset.
    "dis": {"preset": "medium"},
    # Farneback, SCIA 2003: OpenCV's tutorial with more levels, as motions here are larger.
    "farneback": {
        "pyr_scale": 0.5,
        "levels": 5,
        "winsize": 15,
        "iterations": 3,
        "poly_n": 5,
        "poly_sigma": 1.1,
        "flags": 0,
    },
    # Zach, Pock and Bischof, DAGM 2007: OpenCV's defaults.
    "tvl1": {
        "tau": 0.25,
        "lambda_": 0.15,
        "theta": 0.3,
        "nscales": 5,
        "warps": 5,
        "epsilon": 0.01,
        "innnerIterations": 30,
        "outerIterations": 10,
        "scaleStep": 0.8,
        "gamma": 0.0,
        "medianFiltering": 5,
        "useInitialFlow": False,
    },
}

OPENCV_NAMES = {  # of cv2.VariationalRefinement's setters
    "alpha": "Alpha",
    "delta": "Delta",
    "gamma": "Gamma",
    "fixed_point_iterations": "FixedPointIterations",
    "solver_iterations": "SorIterations",
    "relaxation": "Omega",
}


def available() -> list[str]:
    """Return the names of the methods that this machine has, in the order of METHODS."""
    return [method for method in METHODS if method != "tvl1" or hasattr(cv2, "optflow")]


def describe(method: str) -> dict[str, Any]:
    """Return what decides the flow of a method on this machine, fit for JSON.

    Raises
    ------
    InputError
        If there is no such method, or it is not available, with what to install.
    """
    if method not in METHODS:
        raise InputError(f"flow method {method}: there are {', '.join(METHODS)}")
    if method not in available():
        raise InputError(
            f"flow method {method} is one of OpenCV's contrib modules: install "
            "opencv-contrib-python-headless<4.12 in place of opencv-python-headless, or take another of "
            f"{', '.join(available())}"
        )
    name = {"brox": "brox, CUDA" if _has_cuda() else "brox, CPU"}.get(method, method)
    return {"method": method, "by": f"OpenCV {cv2.__version__}{name[len(method) :]}", "parameters": PARAMETERS[name]}


def compute(method: str, previous: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return the flow from one image to the next.

    Parameters
    ----------
    method : one of METHODS
    previous, frame : uint8 height x width x 3, BGR, or height x width, grey

    Returns
    -------
    np.ndarray
        float32 height x width x 2 (x, y), pixels.

    Raises
    ------
    InputError
        As `describe` does, and for images that differ in size or have a side below LEAST_SIDE.
    """
    parameters = describe(method)["parameters"]
    images = previous, frame
    greys: Any = [image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in images]
    (height, width), other = (grey.shape for grey in greys)
    if (height, width) != other or min(height, width) < LEAST_SIDE:
        raise InputError(
            f"flow needs two images of one size, at least {LEAST_SIDE} x {LEAST_SIDE}; these are "
            f"{width} x {height} and {other[1]} x {other[0]}"
        )
    if method == "farneback":
        return cv2.calcOpticalFlowFarneback(*greys, None, **parameters)
    if method == "dis":
        preset = getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{parameters['preset'].upper()}")
        return cv2.DISOpticalFlow.create(preset).calc(*greys, None)
    if method == "tvl1":
        return cv2.optflow.DualTVL1OpticalFlow_create(**parameters).calc(*greys, None)
    return (_brox_cuda if _has_cuda() else _brox)(*greys, **parameters)


def end_point_error(estimate: np.ndarray, truth: np.ndarray, border: int = 0) -> float:
    """Return the mean distance in pixels of two flows, height x width x 2, over pixels where the truth is given.

    border: pixels at each edge that do not count.  A value beyond 1e9 means unknown, as in Middlebury's files.
    """
    inner = slice(border, -border or None), slice(border, -border or None)
    estimate, truth = np.asarray(estimate, np.float64)[inner], np.asarray(truth, np.float64)[inner]
    counted = (np.abs(truth) <= 1e9).all(axis=2)
    return float(np.linalg.norm((estimate - truth)[counted], axis=1).mean())


# 8 bits


def quantise(flow: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Return 8-bit flow, uint8 of the same shape: round(128 + 127 value / bound), values clipped to +- bound.

    So 1 to 255 occur, 128 is zero, and the largest error of what is not clipped is bound / 254 pixels.
    """
    return np.rint(ZERO + np.clip(np.asarray(flow, np.float32) / np.float32(bound), -1, 1) * 127).astype(np.uint8)


def dequantise(stored: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Return the flow in pixels, float32, of 8-bit flow."""
    return (np.asarray(stored, np.float32) - ZERO) * np.float32(bound / 127)


def clipped(flow: np.ndarray, bound: float = BOUND) -> float:
    """Return the share, 0 to 1, of the pixels of a flow whose x or y is beyond +- bound."""
    return float((np.abs(flow) > bound).any(axis=-1).mean())


def negate(stored: np.ndarray) -> np.ndarray:
    """Return 8-bit flow of the opposite sign, in its dtype (uint8 or float32): 256 - value, at most 255.

    Twice is the same again, except for 0, which `quantise` never gives.
    """
    return np.minimum(2 * ZERO - stored.astype(np.float32), 255).astype(stored.dtype)


def mirror(stored: np.ndarray) -> np.ndarray:
    """Return 8-bit flow, height x width x 2, as a mirror shows it: left and right swapped, and x negated."""
    mirrored = stored[:, ::-1].copy()
    mirrored[..., 0] = negate(mirrored[..., 0])
    return mirrored


# Brox's method, from two uint8 grey images of one size


def _has_cuda() -> bool:
    """Return whether OpenCV has CUDA's Brox method and a GPU for it."""
    return hasattr(cv2, "cuda_BroxOpticalFlow") and cv2.cuda.getCudaEnabledDeviceCount() > 0


def _brox_cuda(previous: np.ndarray, frame: np.ndarray, **parameters: Any) -> np.ndarray:
    images = []
    for grey in (previous, frame):
        images.append(cv2.cuda_GpuMat())
        images[-1].upload(grey.astype(np.float32) / 255)
    return cv2.cuda_BroxOpticalFlow.create(**parameters).calc(*images, None).download()


def _brox(
    previous: np.ndarray, frame: np.ndarray, scale_factor: float, smoothing: float, warps: int, **weights: Any
) -> np.ndarray:
    """From coarse to fine, the second image warped anew by the flow so far before each refinement."""
    height, width = previous.shape
    images = [cv2.GaussianBlur(grey.astype(np.float32), (0, 0), smoothing) for grey in (previous, frame)]
    refinement = cv2.VariationalRefinement.create()
    for name, value in weights.items():
        getattr(refinement, f"set{OPENCV_NAMES[name]}")(value)
    levels, scale = [(height, width)], scale_factor
    while min(size := (round(height * scale), round(width * scale))) >= LEAST_SIDE:
        levels.append(size)
        scale = scale_factor ** len(levels)
    # OpenCV warps in steps of 1/32 pixel, to which a smooth flow would be rounded alike everywhere: an error of up to
    # 1/64.  Rounded after some noise, it is right on average, and the smoothness term takes the noise out.
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (CHANNELS, height, width)).astype(np.float32)
    flow = np.zeros((CHANNELS, *levels[-1]), np.float32)
    for rows, columns in reversed(levels):
        scaled = [cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA) for image in images]
        ratios = columns / flow.shape[2], rows / flow.shape[1]
        flow = np.stack([cv2.resize(part, (columns, rows)) * np.float32(ratio) for part, ratio in zip(flow, ratios)])
        for _ in range(warps):
            flow = np.rint(32 * flow + noise[:, :rows, :columns]) / 32
            refinement.calcUV(*scaled, *flow)
    return np.ascontiguousarray(flow.transpose(1, 2, 0))
