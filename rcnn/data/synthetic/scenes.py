"""Synthetic videos on which the paper's claims can be tested, as it is known what makes a class.

A class is an object, a movement, or both (synthetic/motion.py is the smaller set of the demo):

    appearance   Flower, Crate, Wheel, Star: the object; it moves in any way
    motion       PebbleUp, PebbleDown, PebbleSideways, PebbleIn: the movement; the object is any pebble
    both         CrossUp, CrossDown, RingUp, RingDown: the object and the movement

An object's state (place, size, angle) runs around a closed path from anywhere on it, as in synthetic/motion.py, here
with a speed that swells and ebbs, so no single frame shows the movement; and no class is another's mirror image.

A scene has a background and objects with textures of 1/f spectrum, a camera that pans and shakes (over both), light
that flickers, and noise.  A group is a place: all videos of a group, of whatever class, have one background, of which
each shows its own part, so that no class has a background of its own.  Colours, shapes' details, speeds, camera and
length (log-uniform) are each video's own.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from rcnn.data.synthetic import motion

SHORTEST, LONGEST = 1.0, 10.0  # seconds
FLOWER, CRATE, WHEEL, STAR, PEBBLE, CROSS, RING = "Flower", "Crate", "Wheel", "Star", "Pebble", "Cross", "Ring"
KINDS = ("appearance", "motion", "both")
SMALLEST, LARGEST = 45.0, 90.0  # radius in pixels
CANVAS = 2  # a place is so many times as high and wide as a frame


class Class(NamedTuple):
    """One class: what makes it (of KINDS), its object, and the movements (motion.MOVEMENTS) that it may have."""

    kind: str
    shape: str
    movements: tuple[str, ...]


CLASSES = {
    **{shape: Class("appearance", shape, motion.MOVEMENTS) for shape in (FLOWER, CRATE, WHEEL, STAR)},
    **{PEBBLE + movement: Class("motion", PEBBLE, (movement,)) for movement in ("Up", "Down", "Sideways", "In")},
    **{shape + movement: Class("both", shape, (movement,)) for shape in (CROSS, RING) for movement in ("Up", "Down")},
}


def draw_length(generator: np.random.Generator, shortest: float = SHORTEST, longest: float = LONGEST) -> int:
    """Draw how many frames a video has, log-uniform between so many seconds."""
    return max(2, round(float(np.exp(generator.uniform(np.log(shortest), np.log(longest)))) * motion.FPS))


def mean_length(shortest: float = SHORTEST, longest: float = LONGEST) -> float:
    """Return the mean length, in seconds, of videos of `draw_length`."""
    return (longest - shortest) / np.log(longest / shortest) if longest > shortest else longest


def place(generator: np.random.Generator) -> np.ndarray:
    """Draw the background of a group: float32 CANVAS * HEIGHT x CANVAS * WIDTH x 3 BGR; it tiles."""
    height, width = CANVAS * motion.HEIGHT, CANVAS * motion.WIDTH
    tint = generator.uniform(80, 160, 3).astype(np.float32)
    grey, colour = _texture(height, width, 1, generator), _texture(height, width, 3, generator)
    return tint + 12 * grey + 5 * colour


def draw_states(movement: str, number: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the states of one video: float64 number x 4 (x, y, size, angle), shares (0 to 1) of paths.

    movement: of motion.MOVEMENTS.  number: of frames.
    """
    velocity = np.array(motion.draw_motion(movement, generator))
    speed = 1 + 0.35 * _wave(number, generator.uniform(0.2, 0.6), generator)
    way = np.concatenate([[0.0], np.cumsum(speed[1:])]) / motion.FPS
    return (generator.random(4) + way[:, None] * velocity) % 1.0


def draw_camera(number: int, generator: np.random.Generator) -> np.ndarray:
    """Draw where the camera looks in each frame: float64 number x 2, shares of a frame's width and height."""
    drift = generator.uniform(-0.06, 0.06, 2) * np.arange(number)[:, None] / motion.FPS
    shake = np.stack([_wave(number, generator.uniform(0.5, 3), generator) for _ in range(2)], axis=1)
    return generator.random(2) * CANVAS + drift + generator.uniform(0, 0.012) * shake


def frames(name: str, number: int, background: np.ndarray, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield `number` frames of one video of a class, uint8 HEIGHT x WIDTH x 3 BGR, motion.FPS of them a second.

    name: of CLASSES.  background: as `place` draws it.  generator: all else that is random comes from it.
    """
    kind = CLASSES[name]
    patch = _patch(kind.shape, generator)
    states = draw_states(kind.movements[generator.integers(len(kind.movements))], number, generator)
    camera = draw_camera(number, generator)
    light = 1 + 0.03 * _wave(number, generator.uniform(0.3, 2), generator)
    noise = generator.uniform(1, 4) * generator.standard_normal((2 * motion.HEIGHT, 2 * motion.WIDTH, 1), np.float32)
    for state, (x, y), brightness in zip(states, camera, light):
        frame = _view(background, x, y)
        motion.paint(frame, patch, (state[0] - x) % 1, (state[1] - y) % 1, state[2], state[3], SMALLEST, LARGEST)
        top, left = generator.integers(motion.HEIGHT), generator.integers(motion.WIDTH)
        frame = frame * np.float32(brightness) + noise[top : top + motion.HEIGHT, left : left + motion.WIDTH]
        yield np.clip(frame, 0, 255).astype(np.uint8)


def _wave(number: int, frequency: float, generator: np.random.Generator) -> np.ndarray:
    """Return a sine of so many hertz at each frame, from any phase: float64 number."""
    return np.sin(2 * np.pi * (frequency * np.arange(number) / motion.FPS + generator.random()))


def _view(background: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return what a camera at (x, y), in frames, sees of a place that tiles: float32 HEIGHT x WIDTH x 3."""
    left, top = x % CANVAS * motion.WIDTH, y % CANVAS * motion.HEIGHT
    shift = np.array([[1, 0, left], [0, 1, top]], np.float32)
    return cv2.warpAffine(
        background,
        shift,
        (motion.WIDTH, motion.HEIGHT),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )


def _texture(height: int, width: int, channels: int, generator: np.random.Generator) -> np.ndarray:
    """Draw noise whose amplitude falls as 1/f: float32 height x width x channels of mean 0, deviation 1; it tiles."""
    spectrum = np.fft.rfft2(generator.standard_normal((height, width, channels)), axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    values = np.fft.irfft2(spectrum / frequency[..., None], (height, width), axes=(0, 1))
    return (values / values.std(axis=(0, 1))).astype(np.float32)


def _patch(shape: str, generator: np.random.Generator) -> np.ndarray:
    """Draw an object, as of `motion.patch_image`."""
    inside, pattern = _shape(shape, generator)
    first, second = motion.draw_colours(generator)
    if generator.random() < 0.5:
        first, second = second, first
    texture: np.ndarray = 14 * _texture(motion.PATCH, motion.PATCH, 1, generator)
    return motion.patch_image(inside, np.where(pattern[..., None], first, second) + texture)


def _shape(shape: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (where an object is, where it has its first colour), bool motion.PATCH x motion.PATCH."""
    if shape in (FLOWER, CRATE, WHEEL):
        return motion.shape(shape + "s")
    x, y, radius, angle = motion.patch_grid()
    if shape == STAR:
        return radius * (1 + 0.9 * abs(np.sin(2.5 * angle))) < 0.95, radius < 0.25
    if shape == CROSS:
        return (np.minimum(abs(x), abs(y)) < 0.3) & (np.maximum(abs(x), abs(y)) < 0.95), abs(x) < 0.3
    if shape == RING:
        return (radius > 0.5) & (radius < 0.95), np.sin(angle) > 0
    bumps = sum(
        generator.uniform(0, 0.1) * np.cos(wave * angle + generator.uniform(0, 2 * np.pi)) for wave in (1, 2, 3, 4)
    )
    return radius < 0.75 + bumps, _texture(motion.PATCH, motion.PATCH, 1, generator)[..., 0] > 0
