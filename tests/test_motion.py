"""synthetic/motion.py: no single frame shows the movement, no class is another's mirror image, objects move."""

from collections import Counter
from itertools import combinations

import cv2
import numpy as np
import pytest

from rcnn.data.synthetic import motion

VIDEOS = 3000
MOMENTS = (0, 1, 12, 25, 40, 74)  # frames of a video of three seconds


def distance(shares):
    """Return how far a sample is from uniform on 0 to 1: the Kolmogorov-Smirnov distance times the root of its number.

    Above 2.2 with chance 1.3e-4 if it is uniform.
    """
    sample, number = np.sort(np.ravel(shares)), np.size(shares)
    steps = np.arange(number)
    return max((sample - steps / number).max(), ((steps + 1) / number - sample).max()) * np.sqrt(number)


def farthest(states):
    """Return the largest `distance` of the four shares, and of their sums and differences by twos, for dependence."""
    shares = [states[..., index] for index in range(4)]
    twos = [(one + sign * two) % 1 for one, two in combinations(shares, 2) for sign in (1, -1)]
    return max(map(distance, shares + twos))


@pytest.mark.parametrize("movement", motion.MOVEMENTS)
def test_states_are_uniform_at_every_moment(movement):
    """So a frame, which depends on the states of its moment alone, has the same distribution whatever the movement."""
    states = np.stack([motion.draw_states(movement, 3, np.random.default_rng([index, 5])) for index in range(VIDEOS)])
    assert states.shape == (VIDEOS, 75, motion.OBJECTS, 4)
    assert states.min() >= 0 and states.max() <= 1
    for moment in MOMENTS:
        assert farthest(states[:, moment]) < 2.2, moment


def test_that_measure_sees_states_that_tell_the_movement():
    """A sprite placed uniformly in its first frame and then moved is not uniform in the next one."""
    start = np.random.default_rng(5).random((VIDEOS, motion.OBJECTS, 4))
    assert farthest(start) < 2.2
    assert farthest(np.minimum(start + 0.05, 1)) > 2.2
    start[..., 1] = (start[..., 0] + 0.5 * start[..., 1]) % 1
    assert farthest(start) > 2.2


@pytest.mark.parametrize("appearance", motion.APPEARANCES)
def test_the_first_frame_is_the_same_whatever_the_movement(appearance):
    """What else is drawn is drawn before the movement: with one stream of random numbers, only what follows differs."""
    firsts, seconds = [], []
    for movement in motion.MOVEMENTS:
        first, second = motion.frames(appearance, movement, 2 / motion.FPS, np.random.default_rng(3))
        firsts.append(first)
        seconds.append(second)
    assert all(np.array_equal(first, firsts[0]) for first in firsts)
    assert len({second.tobytes() for second in seconds}) == len(motion.MOVEMENTS)


def kind(drawn):
    """Return what a movement is, whatever its speed: the sign of each of its parts."""
    return tuple(np.sign((drawn.x, drawn.y, drawn.size, drawn.angle)).astype(int))


def test_no_class_is_another_ones_mirror_image():
    kinds, mirrored = {}, {}
    for movement in motion.MOVEMENTS:
        drawn = [motion.draw_motion(movement, np.random.default_rng([index, 7])) for index in range(400)]
        slowest, fastest = motion.SPEEDS[movement]
        assert all(slowest <= max(map(abs, one)) <= fastest for one in drawn)
        kinds[movement] = Counter(map(kind, drawn))
        mirrored[movement] = Counter(kind(one._replace(x=-one.x, angle=-one.angle)) for one in drawn)
    for movement, counts in kinds.items():
        assert set(mirrored[movement]) == set(counts)
        assert all(150 < number for number in counts.values()), "either direction is as likely"
        assert not any(set(mirrored[movement]) & set(other) for name, other in kinds.items() if name != movement)
    assert {movement for movement, counts in kinds.items() if len(counts) == 2} == {"Sideways", "Spin"}


def flow_of(movement):
    """Return the mean of (x, y, spread, spin) of the optical flow where there are objects, over several videos."""
    means = []
    for seed in range(4):
        frames = list(motion.frames("Flowers", movement, 12 / motion.FPS, np.random.default_rng(seed)))
        for index in (0, 10):
            grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in frames[index : index + 2]]
            flow = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)
            down, right = np.gradient(flow, axis=(0, 1))
            where = np.hypot(cv2.Sobel(grey[0], cv2.CV_32F, 1, 0), cv2.Sobel(grey[0], cv2.CV_32F, 0, 1)) > 60
            spread, spin = right[..., 0] + down[..., 1], abs(right[..., 1] - down[..., 0])
            means.append([part[where].mean() for part in (flow[..., 0], flow[..., 1], spread, spin)])
    return np.array(means)


def test_the_pictures_move_as_named():
    flows = {movement: flow_of(movement) for movement in motion.MOVEMENTS}
    x, y, spread, spin = ({name: flow[:, index] for name, flow in flows.items()} for index in range(4))
    assert (y["Up"] < -0.5).all() and (y["Down"] > 0.5).all()
    assert (abs(x["Sideways"]) > 0.5).all() and (x["Sideways"] > 0).any() and (x["Sideways"] < 0).any()
    assert spread["In"].mean() > 0.03 and spread["Out"].mean() < -0.03
    assert spin["Spin"].mean() > 2 * max(spin["Up"].mean(), spin["Sideways"].mean())
    assert abs(flows["Still"]).max() < 0.01


@pytest.mark.parametrize("seconds, number", [(0.2, 5), (0.05, 1)])
def test_frames_are_images_of_the_stated_size_and_number(seconds, number):
    frames = list(motion.frames("Crates", "Up", seconds, np.random.default_rng(0)))
    assert len(frames) == number
    assert all(frame.shape == (motion.HEIGHT, motion.WIDTH, 3) and frame.dtype == np.uint8 for frame in frames)
    assert frames[0].std() > 10


def test_one_seed_gives_one_video_and_appearances_differ():
    kinds = (("Wheels", 1), ("Wheels", 1), ("Wheels", 2), ("Crates", 1), ("Flowers", 1))
    videos = [np.stack(list(motion.frames(name, "In", 0.2, np.random.default_rng(seed)))) for name, seed in kinds]
    assert [np.array_equal(videos[0], other) for other in videos[1:]] == [True, False, False, False]
