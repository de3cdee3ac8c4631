"""Synthetic pairs of images whose flow is known exactly: a texture of waves, shifted, zoomed or turned."""

import numpy as np

KINDS = ("shift", "zoom", "rotation")


def pair(
    kind: str, pixels: float, height: int = 96, width: int = 96, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (previous, frame, flow): uint8 height x width twice, and the float64 flow between them.

    The texture is a sum of plane waves, 4 to 60 pixels long, so that it is known between pixels too, and has no border.
    kind: of KINDS.  pixels: the motion, of a shift everywhere (30 degrees down from the right), else in the corners.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    place = np.stack([columns - (width - 1) / 2, rows - (height - 1) / 2], axis=-1)
    angle = pixels / np.hypot(height / 2, width / 2)
    matrix, shift = np.eye(2), np.zeros(2)
    if kind == "shift":
        shift = pixels * np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)])
    elif kind == "zoom":
        matrix = matrix * (1 + angle)
    else:
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lengths = np.exp(random.uniform(np.log(4), np.log(60), 100))
    directions, phases = random.uniform(0, 2 * np.pi, (2, 100))

    def texture(where: np.ndarray) -> np.ndarray:
        waves = [
            np.sqrt(length) * np.cos(2 * np.pi / length * (where @ [np.cos(direction), np.sin(direction)]) + phase)
            for length, direction, phase in zip(lengths, directions, phases)
        ]
        return np.clip(np.rint(128 + 45 * np.sum(waves, axis=0) / np.sqrt(lengths.sum() / 2)), 0, 255).astype(np.uint8)

    return texture(place), texture((place - shift) @ np.linalg.inv(matrix).T), place @ matrix.T + shift - place
