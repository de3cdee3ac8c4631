"""A made set of videos on which the paper's claims can be tested: what tells a class is known (rcnn/data/synthetic/motion.py is the
smaller set of the demo).

A class is told by its object alone, by its movement alone, or by both:

    appearance   Flower, Crate, Wheel, Star: the object; it moves in any way
    motion       PebbleUp, PebbleDown, PebbleSideways, PebbleIn: the movement; the object is any pebble
    both         CrossUp, CrossDown, RingUp, RingDown: the object and the movement

An object's state (place, size, angle) runs around a closed path from anywhere on it, as in rcnn/data/synthetic/motion.py, here with a
speed that swells and ebbs, so no single frame tells one movement from another; and no class is another's mirror image.

A scene has a background and objects with textures of 1/f spectrum, a camera that pans and shakes (over both), light
that flickers, and noise.  A group is a place: all videos of a group, of whatever class, have one background, of which
each shows its own part, so that a background tells no class.  Colours, shapes' details, speeds, camera and length
(log-uniform) are each video's own.
"""
from dataclasses import dataclass

import cv2
import numpy as np

from rcnn.data.synthetic import motion

SHORTEST, LONGEST = 1.0, 10.0  # seconds
FLOWER, CRATE, WHEEL, STAR, PEBBLE, CROSS, RING = "Flower", "Crate", "Wheel", "Star", "Pebble", "Cross", "Ring"
KINDS = ("appearance", "motion", "both")
SMALLEST, LARGEST = 45.0, 90.0  # radius in pixels
CANVAS = 2  # a place is so many times as high and wide as a frame


@dataclass(frozen=True)
class Class:
    """One class: what it is told by (of KINDS), its object, and the movements (motion.MOVEMENTS) that it may have."""
    kind: str
    shape: str
    movements: tuple


CLASSES = {
    **{shape: Class("appearance", shape, motion.MOVEMENTS) for shape in (FLOWER, CRATE, WHEEL, STAR)},
    **{PEBBLE + movement: Class("motion", PEBBLE, (movement,)) for movement in ("Up", "Down", "Sideways", "In")},
    **{shape + movement: Class("both", shape, (movement,)) for shape in (CROSS, RING) for movement in ("Up", "Down")},
}


def draw_length(generator, shortest=SHORTEST, longest=LONGEST):
    """Draw how many frames a video has, log-uniform between so many seconds."""
    return max(2, round(float(np.exp(generator.uniform(np.log(shortest), np.log(longest)))) * motion.FPS))


def mean_length(shortest=SHORTEST, longest=LONGEST):
    """Return the mean length, in seconds, of videos of `draw_length`."""
    return (longest - shortest) / np.log(longest / shortest) if longest > shortest else longest


def place(generator):
    """Draw the background of a group: float32 CANVAS * HEIGHT x CANVAS * WIDTH x 3 BGR; it tiles."""
    height, width = CANVAS * motion.HEIGHT, CANVAS * motion.WIDTH
    tint = generator.uniform(80, 160, 3).astype(np.float32)
    grey, colour = _texture(height, width, 1, generator), _texture(height, width, 3, generator)
    return tint + 12 * grey + 5 * colour


def draw_states(movement, number, generator):
    """Draw the states of one video of a movement (of motion.MOVEMENTS): float64 number x 4 (x, y, size, angle), shares
    (0 to 1) of paths.
    """
    velocity = motion.draw_motion(movement, generator)
    velocity = np.array([velocity.x, velocity.y, velocity.size, velocity.angle])
    speed = 1 + 0.35 * _wave(number, generator.uniform(0.2, 0.6), generator)
    way = np.concatenate([[0.0], np.cumsum(speed[1:])]) / motion.FPS
    return (generator.random(4) + way[:, None] * velocity) % 1.0


def draw_camera(number, generator):
    """Draw where the camera looks in each frame: float64 number x 2, shares of a frame's width and height."""
    drift = generator.uniform(-0.06, 0.06, 2) * np.arange(number)[:, None] / motion.FPS
    shake = np.stack([_wave(number, generator.uniform(0.5, 3), generator) for _ in range(2)], axis=1)
    return generator.random(2) * CANVAS + drift + generator.uniform(0, 0.012) * shake


def frames(name, number, background, generator):
    """Yield `number` frames of one video of a class, uint8 HEIGHT x WIDTH x 3 BGR, motion.FPS of them a second.

    name: of CLASSES.  background: as `place` draws it.  generator: numpy.random.Generator; all else that is random
    comes from it.
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
        frame = frame * np.float32(brightness) + noise[top:top + motion.HEIGHT, left:left + motion.WIDTH]
        yield np.clip(frame, 0, 255).astype(np.uint8)


def _wave(number, frequency, generator):
    """Return a sine of so many hertz at each frame, from any phase: float64 number."""
    return np.sin(2 * np.pi * (frequency * np.arange(number) / motion.FPS + generator.random()))


def _view(background, x, y):
    """Return what a camera at (x, y), in frames, sees of a place that tiles: float32 HEIGHT x WIDTH x 3."""
    left, top = x % CANVAS * motion.WIDTH, y % CANVAS * motion.HEIGHT
    shift = np.float32([[1, 0, left], [0, 1, top]])
    return cv2.warpAffine(background, shift, (motion.WIDTH, motion.HEIGHT),
                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP)


def _texture(height, width, channels, generator):
    """Draw noise whose amplitude falls as 1/f: float32 height x width x channels of mean 0, deviation 1; it tiles."""
    spectrum = np.fft.rfft2(generator.standard_normal((height, width, channels)), axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    values = np.fft.irfft2(spectrum / frequency[..., None], (height, width), axes=(0, 1))
    return (values / values.std(axis=(0, 1))).astype(np.float32)


def _patch(shape, generator):
    """Draw an object at angle 0: motion.PATCH x motion.PATCH x 4 float32, BGR and opacity, reaching to the edge."""
    side = motion.PATCH
    grid = (np.arange(side, dtype=np.float32) - side / 2 + 0.5) / (side / 2)
    x, y = np.meshgrid(grid, grid)
    inside, pattern = _shape(shape, x, y, generator)
    first, second = generator.uniform(0, 90, 3), generator.uniform(165, 255, 3)
    if generator.random() < 0.5:
        first, second = second, first
    image = np.empty((side, side, 4), np.float32)
    image[..., :3] = np.where(pattern[..., None], first, second) + 14 * _texture(side, side, 1, generator)
    image[..., 3] = inside
    return cv2.GaussianBlur(image, (0, 0), 1.2)


def _shape(shape, x, y, generator):
    """Return (where an object is, where it has its second colour), bool arrays; x, y: -1 to 1 across its patch."""
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    if shape == FLOWER:
        return radius < 0.62 + 0.34 * np.cos(5 * angle), radius < 0.32
    if shape == CRATE:
        return np.maximum(abs(x), abs(y)) < 0.68, (np.floor(x * 2.2) + np.floor(y * 2.2)) % 2 == 0
    if shape == WHEEL:
        return radius < 0.95, np.sin(3 * angle) > 0
    if shape == STAR:
        return radius * (1 + 0.9 * abs(np.sin(2.5 * angle))) < 0.95, radius < 0.25
    if shape == CROSS:
        return (np.minimum(abs(x), abs(y)) < 0.3) & (np.maximum(abs(x), abs(y)) < 0.95), abs(x) < 0.3
    if shape == RING:
        return (radius > 0.5) & (radius < 0.95), np.sin(angle) > 0
    bumps = sum(generator.uniform(0, 0.1) * np.cos(wave * angle + generator.uniform(0, 2 * np.pi))
                for wave in (1, 2, 3, 4))
    return radius < 0.75 + bumps, _texture(*x.shape, 1, generator)[..., 0] > 0
