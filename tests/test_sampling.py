import itertools
import random
import time
from collections import Counter

import pytest

from rcnn.sampling import clashes, pair_order


def test_every_pair_once():
    counts = {"a": 5, "b": 2, "c": 1, "d": 0, "e": 9}
    order = pair_order(counts, 1)
    assert sorted(order) == sorted((name, t) for name, count in counts.items() for t in range(1, count))
    assert all(isinstance(t, int) for _, t in order)


def test_empty():
    assert pair_order({}, 1) == pair_order({"a": 1}, 1) == []


def test_seed():
    counts = {f"v{number}": 10 for number in range(20)}
    backwards = dict(reversed(counts.items()))
    assert pair_order(counts, 7) == pair_order(backwards, 7) != pair_order(counts, 8)


def test_order_is_frozen():
    """The bytes of a seed's LMDB must not depend on the version of a library."""
    order = pair_order({"a": 6, "b": 5, "c": 2}, 0)
    assert " ".join(f"{name}{t}" for name, t in order) == "a3 b4 a5 b3 c1 a2 b2 a4 b1 a1"


def least_clashes(pairs):
    """By trying every order."""
    return min(clashes([(video, 0) for video in order]) for order in set(itertools.permutations(pairs)))


@pytest.mark.parametrize("pairs", [pairs for videos in (1, 2, 3, 4)
                                   for pairs in itertools.combinations_with_replacement(range(1, 5), videos)
                                   if sum(pairs) <= 7])
def test_clashes_are_as_few_as_any_order_has(pairs):
    least = least_clashes([video for video, number in enumerate(pairs) for _ in range(number)])
    for seed in range(25):
        assert clashes(pair_order({f"v{video}": number + 1 for video, number in enumerate(pairs)}, seed)) == least


@pytest.mark.parametrize("seed", range(40))
def test_clashes_only_where_one_video_outnumbers_the_rest(seed):
    chance = random.Random(seed)
    counts = {f"v{video}": chance.choice([1, 2, 3, 20, 60, 150]) for video in range(chance.randint(1, 6))}
    numbers = sorted(count - 1 for count in counts.values())
    assert clashes(pair_order(counts, seed)) == max(0, numbers[-1] - sum(numbers[:-1]) - 1)


@pytest.mark.parametrize("counts", [{"a": 1001, "b": 1001}, {"a": 1001, "b": 1002}, {"a": 1001, "b": 501, "c": 501}])
def test_tight(counts):
    assert clashes(pair_order(counts, 1)) == 0


def test_order_is_well_mixed():
    """The mean place of a video's pairs is about the middle, as is that of the pairs put in later."""
    counts = {f"v{video}": 101 for video in range(5)}
    places = Counter()
    for seed in range(40):
        for place, (name, _) in enumerate(pair_order(counts, seed)):
            places[name] += place
    for total in places.values():
        assert total / (40 * 100) == pytest.approx(249.5, abs=15)


def test_limit_is_spread_evenly():
    order = pair_order({"a": 101, "b": 3}, 1, pairs_per_video=5)
    assert sorted(order) == [("a", t) for t in (11, 31, 51, 71, 91)] + [("b", 1), ("b", 2)]
    assert len(pair_order({"a": 6}, 1, 5)) == 5 and len(set(pair_order({"a": 7}, 1, 5))) == 5


@pytest.mark.parametrize("frames, t", [(2, 1), (3, 2), (4, 2), (5, 3), (102, 51)])
def test_limit_of_one_takes_the_middle_pair(frames, t):
    assert pair_order({"a": frames}, 1, pairs_per_video=1) == [("a", t)]


def test_the_size_of_ucf_101_takes_seconds():
    chance = random.Random(0)
    counts = {f"v{video}": chance.randint(2, 68) for video in range(9500)}
    began = time.monotonic()
    order = pair_order(counts, 1)
    assert time.monotonic() - began < 20
    assert len(order) > 300_000 and clashes(order) == 0
