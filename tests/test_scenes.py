"""synthetic/scenes.py: what makes a class and what does not, and that its scenes have what real videos have."""

from collections import Counter
from itertools import combinations, product

import cv2
import numpy as np
import pytest
from test_motion import distance, farthest

from rcnn.data.synthetic import motion, scenes

VIDEOS = 2000
MOMENTS = (0, 1, 30, 74)  # frames of a video of three seconds
PLAIN = np.full((2 * motion.HEIGHT, 2 * motion.WIDTH, 3), 120, np.float32)  # a background without texture
MIDDLE = (0.5, 0.5, 0.5, 0.0)  # the state of an object in the middle of the place
MIRROR = np.array([-1, 1, 1, -1])  # what a mirror does to the velocities of x, y, size and angle
SHAPES = {kind.shape: name for name, kind in scenes.CLASSES.items()}


def generator(*seed):
    return np.random.default_rng(seed)


def film(name, number, background=PLAIN, seed=0):
    """Return float64 frames of a video, number x height x width x 3."""
    return np.stack(list(scenes.frames(name, number, background, generator(seed)))).astype(float)


@pytest.fixture
def directed(monkeypatch):
    """A function that gives the next videos these states and cameras, a row for each frame."""

    def direct(states, cameras):
        monkeypatch.setattr(scenes, "draw_states", lambda *_: np.array(states))
        monkeypatch.setattr(scenes, "draw_camera", lambda *_: np.array(cameras))

    return direct


@pytest.fixture(scope="module")
def background():
    return scenes.place(generator(1))


@pytest.fixture(scope="module")
def cameras():
    """Where the cameras of many videos of three seconds look, VIDEOS x 75 x 2."""
    return np.stack([scenes.draw_camera(75, generator(index, 6)) for index in range(VIDEOS)])


def steps(movement, seed, number=75):
    """Return how the state of a video changes from frame to frame, number - 1 x 4."""
    return (np.diff(scenes.draw_states(movement, number, generator(seed)), axis=0) + 0.5) % 1 - 0.5


def test_there_are_four_classes_of_each_kind():
    assert Counter(kind.kind for kind in scenes.CLASSES.values()) == dict.fromkeys(scenes.KINDS, 4)
    of = {kind: [one for one in scenes.CLASSES.values() if one.kind == kind] for kind in scenes.KINDS}
    assert len({one.shape for one in of["appearance"]}) == 4
    assert all(one.movements == motion.MOVEMENTS for one in of["appearance"])
    assert {one.shape for one in of["motion"]} == {"Pebble"} and len({one.movements for one in of["motion"]}) == 4
    assert {(one.shape, *one.movements) for one in of["both"]} == set(product(("Cross", "Ring"), ("Up", "Down")))
    assert len(SHAPES) == 4 + 1 + 2, "no object is of two kinds"


@pytest.mark.parametrize("movement", motion.MOVEMENTS)
def test_what_a_frame_shows_is_uniform_at_every_moment(movement, cameras):
    """In the place and as the camera sees it; so a single frame is alike whatever the movement."""
    states = np.stack([scenes.draw_states(movement, 75, generator(index, 5)) for index in range(VIDEOS)])
    assert states.shape == (VIDEOS, 75, 4) and cameras.shape == (VIDEOS, 75, 2)
    assert states.min() >= 0 and states.max() <= 1
    seen = states.copy()
    seen[..., :2] = (states[..., :2] - cameras) % 1
    for moment in MOMENTS:
        assert farthest(states[:, moment]) < 2.2, moment
        assert farthest(seen[:, moment]) < 2.2, moment
        assert distance(cameras[:, moment] / scenes.CANVAS % 1) < 2.2, moment


@pytest.mark.parametrize(
    "names",
    [("PebbleUp", "PebbleDown", "PebbleSideways", "PebbleIn"), ("CrossUp", "CrossDown"), ("RingUp", "RingDown")],
)
def test_the_first_frame_is_the_same_whatever_the_movement(names, background):
    """What else is drawn does not depend on the movement: with one stream of random numbers, only what follows does."""
    videos = [film(name, 2, background) for name in names]
    assert all(np.array_equal(video[0], videos[0][0]) for video in videos)
    assert len({video[1].tobytes() for video in videos}) == len(names)


def test_an_object_known_by_appearance_moves_in_any_way(monkeypatch):
    moved, draw = Counter(), motion.draw_motion
    monkeypatch.setattr(motion, "draw_motion", lambda name, *rest: (moved.update([name]), draw(name, *rest))[1])
    for seed in range(70):
        next(scenes.frames("Flower", 2, PLAIN, generator(seed)))
    assert set(moved) == set(motion.MOVEMENTS) and max(moved.values()) < 25


def test_no_class_moves_as_another_ones_mirror_image():
    ways = {}
    for name, kind in scenes.CLASSES.items():
        drawn = [np.sign(steps(movement, seed, 2).round(9))[0] for movement in kind.movements for seed in range(20)]
        ways[name] = {tuple(way) for way in drawn}
        assert {tuple(way * MIRROR) for way in drawn} == ways[name], name
    for name, other in product(ways, ways):
        if name != other and scenes.CLASSES[name].shape == scenes.CLASSES[other].shape:
            assert not ways[name] & ways[other]
    assert len(ways["PebbleSideways"]) == 2 and len(ways["Flower"]) == 9, "left and right; both ways to spin"


def test_an_object_in_a_mirror_is_the_same_object_and_no_other(directed):
    """Turned at most, and with its colours swapped, as they may be drawn; a pebble's outline is any."""
    directed([MIDDLE], [(0, 0)])
    outlines = {}
    for shape, name in SHAPES.items():
        shown = abs(film(name, 1, seed=3)[0].mean(axis=2) - 120)
        outlines[shape] = outline = cv2.GaussianBlur(shown, (0, 0), 2) > 15
        mirrored = min(np.mean(outline ^ np.flip(outline, axis)) for axis in (0, 1))
        assert outline.mean() > 0.05 and (shape == "Pebble" or mirrored < 0.1 * outline.mean()), shape
    for one, other in combinations(outlines.values(), 2):
        assert np.mean(one ^ other) > 0.1 * np.mean(one | other)


def test_lengths_are_log_uniform_from_one_to_ten_seconds():
    lengths = np.array([scenes.draw_length(generator(index)) for index in range(3000)])
    assert lengths.min() >= 25 and lengths.max() <= 250
    assert distance(np.log(lengths / 25) / np.log(10)) < 2.2
    assert abs(lengths.mean() / motion.FPS / scenes.mean_length() - 1) < 0.03
    assert {scenes.draw_length(generator(index), 2, 2) for index in range(9)} == {50}
    assert scenes.mean_length(2, 2) == 2


@pytest.mark.parametrize("movement, axis", [("Up", 1), ("Down", 1), ("Sideways", 0), ("In", 2), ("Spin", 3)])
def test_speeds_vary_within_a_video_and_keep_their_sign(movement, axis):
    slowest, fastest = motion.SPEEDS[movement]
    for seed in range(20):
        moved = steps(movement, seed) * motion.FPS
        speed = abs(moved[:, axis])
        assert len(set(np.sign(moved[:, axis]))) == 1
        assert speed.max() > 1.3 * speed.min()
        assert 0.64 * slowest < speed.min() and speed.max() < 1.36 * fastest
        assert not np.delete(moved, axis, axis=1).round(9).any()


@pytest.mark.parametrize("camera", [(0.25, 0.25), (1.6, 1.7)])
def test_the_camera_moves_background_and_object_alike(camera, directed, background):
    """Also over the edge of the place, which tiles.  What is left between the pictures is noise and light."""
    right, down = 160, 120
    moved = (camera[0] + right / motion.WIDTH, camera[1] + down / motion.HEIGHT)
    directed([(*camera, 0.5, 0.1)] * 3, [camera, moved, camera])
    first, second, third = (cv2.GaussianBlur(frame, (0, 0), 2) for frame in film("Crate", 3, background))
    assert np.mean(abs(first - third)) < 4
    assert np.mean(abs(first[down:, right:] - second[:-down, :-right])) < 4
    assert np.mean(abs(first - second)) > 12


def test_the_camera_drifts_and_shakes_and_does_not_jump(cameras):
    moved = np.diff(cameras, axis=1)
    assert abs(moved).max() < 0.012
    assert np.median(abs(cameras[:, -1] - cameras[:, 0])) > 0.04
    assert np.median(moved.std(axis=1)) > 1e-4


def test_a_place_tiles_and_its_amplitude_falls_as_one_over_frequency(background):
    assert background.shape == (2 * motion.HEIGHT, 2 * motion.WIDTH, 3) and background.dtype == np.float32
    for axis in (0, 1):
        within = np.diff(background, axis=axis).std()
        seam = (np.take(background, 0, axis) - np.take(background, -1, axis)).std()
        assert 0.7 < seam / within < 1.4
    amplitude = abs(np.fft.fft2(background.astype(float), axes=(0, 1))).mean(axis=2)
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(size) for size in background.shape[:2]), indexing="ij"))
    chosen = (frequency > 0.01) & (frequency < 0.4)
    slope, _ = np.polyfit(np.log(frequency[chosen]), np.log(amplitude[chosen]), 1)
    assert abs(slope + 1) < 0.03


def test_places_differ(background):
    """As much as two textures that have nothing to do with each other."""
    other = scenes.place(generator(2))
    assert np.array_equal(background, scenes.place(generator(1)))
    textures = [(image - image.mean(axis=(0, 1))).ravel() for image in (background, other)]
    assert abs(np.corrcoef(textures)[0, 1]) < 0.35
    assert abs(background.mean(axis=(0, 1)) - other.mean(axis=(0, 1))).max() > 5
    firsts = [film("PebbleUp", 2, background, seed)[0, ::4, ::4].ravel() for seed in range(4)]
    assert (np.corrcoef(firsts) - np.eye(4)).max() < 0.7, "each video shows its own part"


def test_noise_and_light_vary_from_frame_to_frame(directed):
    directed([MIDDLE] * 20, [(0, 0)] * 20)
    corner = film("Wheel", 20)[:, :40, :60]
    light = corner.mean(axis=(1, 2, 3))
    assert 0.01 < light.std() / light.mean() < 0.03
    assert abs(light / 120 - 1).max() < 0.04
    noise = corner[..., 0] - light[:, None, None]
    assert 0.7 < noise.std() < 4.5
    assert abs(np.corrcoef(noise.reshape(20, -1)) - np.eye(20)).max() < 0.1


@pytest.mark.parametrize("name", ["Flower", "PebbleIn", "CrossUp", "RingDown"])
def test_frames_are_images_of_the_stated_size_and_number_and_one_seed_gives_one_video(name, background):
    number = 2 + len(name) % 3
    frames = list(scenes.frames(name, number, background, generator(7)))
    assert len(frames) == number
    assert all(frame.shape == (240, 320, 3) and frame.dtype == np.uint8 for frame in frames)
    again = list(scenes.frames(name, number, background, generator(7)))
    assert all(map(np.array_equal, frames, again))
    assert not np.array_equal(frames[0], next(scenes.frames(name, number, background, generator(8))))


def test_neighbouring_frames_are_far_more_alike_than_frames_a_fifth_of_a_second_apart(background):
    """The redundancy for which the paper takes 5 frames of 25 a second."""
    unlike = np.zeros((len(scenes.CLASSES), 2))
    for index, name in enumerate(scenes.CLASSES):
        shown = film(name, 6, background, index)[:, ::2, ::2].mean(axis=3).reshape(6, -1)
        unlike[index] = 1 - np.corrcoef(shown)[0, [1, 5]]
    neighbours, apart = unlike.mean(axis=0)
    assert neighbours < 0.3 and apart > 2 * neighbours
