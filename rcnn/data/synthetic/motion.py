"""Synthetic videos whose classes need motion: each class is an appearance and a movement.

Every object of a video has a state (place, size, angle) that moves around a closed path at constant speed: a place
that leaves on one side comes back on the other, a size that grows past the largest fades out and comes back
smallest.  The state starts anywhere on that path with equal chance, so at each time it is spread alike whatever the
movement, and no single frame shows which movement it is of.  No class is another one's mirror image: left and right
are one movement, and so are both ways to spin.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np

WIDTH, HEIGHT, FPS = 320, 240, 25
APPEARANCES = ("Flowers", "Crates", "Wheels")
MOVEMENTS = ("Up", "Down", "Sideways", "In", "Out", "Spin", "Still")
SMALLEST, LARGEST = 30.0, 66.0  # radius in pixels
OBJECTS = 1
PATCH = 128

# per second, smallest and largest: a share of the path's length (places, sizes) or a turn (angles)
SPEEDS = {
    "Up": (0.6, 0.9),
    "Down": (0.6, 0.9),
    "Sideways": (0.6, 0.9),
    "In": (1.2, 1.6),
    "Out": (1.2, 1.6),
    "Spin": (0.4, 0.55),
    "Still": (0.0, 0.0),
}


class Motion(NamedTuple):
    """How fast the four parts of a state run, a second: x, y, size as shares of their path, angle in turns."""

    x: float = 0.0
    y: float = 0.0
    size: float = 0.0
    angle: float = 0.0


def draw_motion(movement: str, generator: np.random.Generator) -> Motion:
    """Draw the Motion of one video of a movement (a name of MOVEMENTS)."""
    speed = generator.uniform(*SPEEDS[movement])
    either = generator.choice((-1.0, 1.0))
    return {
        "Up": Motion(y=-speed),
        "Down": Motion(y=speed),
        "Sideways": Motion(x=either * speed),
        "In": Motion(size=speed),
        "Out": Motion(size=-speed),
        "Spin": Motion(angle=either * speed),
        "Still": Motion(),
    }[movement]


def draw_states(movement: str, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """Draw the states of one video: float64 frames x OBJECTS x 4 (x, y, size, angle), shares (0 to 1) of paths."""
    start = generator.random((OBJECTS, 4))
    velocity = np.array(draw_motion(movement, generator))
    numbers = np.arange(round(seconds * FPS))[:, None, None]
    return (start + velocity * numbers / FPS) % 1.0


def frames(appearance: str, movement: str, seconds: float, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the frames of one video, uint8 HEIGHT x WIDTH x 3 BGR, FPS of them a second.

    appearance, movement: names of APPEARANCES and MOVEMENTS.  generator: all that is random comes from it.
    """
    background = _background(generator)
    patches = [_patch(appearance, generator) for _ in range(OBJECTS)]
    for states in draw_states(movement, seconds, generator):
        frame = background.copy()
        for patch, state in zip(patches, states):
            paint(frame, patch, *state)
        yield np.clip(frame, 0, 255).astype(np.uint8)


def _background(generator: np.random.Generator) -> np.ndarray:
    noise = generator.normal(size=(HEIGHT // 20, WIDTH // 20, 3)).astype(np.float32)
    smooth = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return generator.uniform(90, 150, 3).astype(np.float32) + 12 * smooth


def draw_colours(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw two BGR colours, one dark and one light, so that the pattern of an object can be seen."""
    return generator.uniform(0, 90, 3), generator.uniform(165, 255, 3)


def patch_grid() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (x, y, radius, angle) of a patch's pixels, float32 PATCH x PATCH; x and y from -1 to 1."""
    line = (np.arange(PATCH, dtype=np.float32) - PATCH / 2 + 0.5) / (PATCH / 2)
    x, y = np.meshgrid(line, line)
    return x, y, np.hypot(x, y), np.arctan2(y, x)


def shape(appearance: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (where an object is, where it has its first colour), bool PATCH x PATCH; appearance: of APPEARANCES."""
    x, y, radius, angle = patch_grid()
    if appearance == "Flowers":
        return radius < 0.62 + 0.34 * np.cos(5 * angle), radius < 0.32
    if appearance == "Crates":
        return np.maximum(abs(x), abs(y)) < 0.68, (np.floor(x * 2.2) + np.floor(y * 2.2)) % 2 == 0
    return radius < 0.95, np.sin(3 * angle) > 0


def patch_image(inside: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return an object at angle 0: PATCH x PATCH x 4 float32, BGR and opacity (0 to 1), reaching to its edge."""
    image = np.empty((PATCH, PATCH, 4), np.float32)
    image[..., :3] = colours
    image[..., 3] = inside
    return cv2.GaussianBlur(image, (0, 0), 1.2)


def _patch(appearance: str, generator: np.random.Generator) -> np.ndarray:
    inside, pattern = shape(appearance)
    return patch_image(inside, np.where(pattern[..., None], *draw_colours(generator)))


def paint(
    frame: np.ndarray,
    patch: np.ndarray,
    x: float,
    y: float,
    size: float,
    angle: float,
    smallest: float = SMALLEST,
    largest: float = LARGEST,
) -> None:
    """Paint a patch into a float32 frame; x, y, size, angle are shares (0 to 1) of their paths.

    A patch that crosses the frame's edge comes in again at the opposite one.  smallest, largest: radius in pixels.
    """
    radius = smallest * (largest / smallest) ** size
    opacity = min(1.0, 0.3 + 7 * min(size, 1 - size))
    for across, down in product((-1, 0, 1), repeat=2):
        _paint_once(frame, patch, (x + across) * WIDTH, (y + down) * HEIGHT, radius, opacity, 2 * np.pi * angle)


def _paint_once(
    frame: np.ndarray, patch: np.ndarray, center_x: float, center_y: float, radius: float, opacity: float, turn: float
) -> None:
    left, right = max(0, int(center_x - radius) - 1), min(WIDTH, int(center_x + radius) + 2)
    top, bottom = max(0, int(center_y - radius) - 1), min(HEIGHT, int(center_y + radius) + 2)
    if left >= right or top >= bottom:
        return
    cosine, sine = np.cos(turn) * PATCH / 2 / radius, np.sin(turn) * PATCH / 2 / radius
    to_patch = np.array([[cosine, sine, 0], [-sine, cosine, 0]])
    to_patch[:, 2] = PATCH / 2 - 0.5 + to_patch[:, :2] @ (left - center_x, top - center_y)
    view = cv2.warpAffine(patch, to_patch, (right - left, bottom - top), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    region = frame[top:bottom, left:right]
    region += (view[..., 3:] * opacity) * (view[..., :3] - region)
