import itertools
import random
import time
from collections import Counter

import pytest

from rcnn.data.sampling import clashes, pair_order, sequences


def test_every_pair_once():
    counts = {"a": 5, "b": 2, "c": 1, "d": 0, "e": 9}
    order = pair_order(counts, 1)
    assert sorted(order) == sorted((name, t) for name, count in counts.items() for t in range(1, count))
    assert all(isinstance(t, int) for _, t in order)
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


@pytest.mark.parametrize(
    "pairs",
    [
        pairs
        for videos in (1, 2, 3, 4)
        for pairs in itertools.combinations_with_replacement(range(1, 5), videos)
        if sum(pairs) <= 7
    ],
)
def test_clashes_are_as_few_as_any_order_has(pairs):
    least = least_clashes([video for video, number in enumerate(pairs) for _ in range(number)])
    for seed in range(10):
        assert clashes(pair_order({f"v{video}": number + 1 for video, number in enumerate(pairs)}, seed)) == least


@pytest.mark.parametrize("seed", range(20))
def test_clashes_only_where_one_video_outnumbers_the_rest(seed):
    chance = random.Random(seed)
    counts = {f"v{video}": chance.choice([1, 2, 3, 20, 60, 150]) for video in range(chance.randint(1, 6))}
    numbers = sorted(count - 1 for count in counts.values())
    assert clashes(pair_order(counts, seed)) == max(0, numbers[-1] - sum(numbers[:-1]) - 1)


@pytest.mark.parametrize("counts", [(1001, 1001), (1001, 1002), (1001, 501, 501)])
def test_tight(counts):
    assert clashes(pair_order(dict(zip("abc", counts)), 1)) == 0


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


COUNTS = {"a": 3, "b": 1, "c": 2, "d": 7, "e": 4}


def steps(number, *arguments):
    return list(itertools.islice(sequences(*arguments), number))


def started(made):
    """Return the names of the videos in the order in which they start."""
    return [name for step in made for name, _, first in step if first]


def test_streams_run_side_by_side():
    """By hand: each row goes on with the next video of the list as its own is over, whatever the others do."""

    def rows(made):
        return [" ".join(f"{name}{t}{'*' * first}" for name, t, first in step) for step in made]

    counts = {"b": 3, "a": 1, "c": 2}
    assert rows(steps(5, counts, 2)) == ["b0* a0*", "b1 c0*", "b2 c1", "b0* a0*", "b1 c0*"]
    assert rows(steps(4, counts, 1)) == ["b0*", "b1", "b2", "a0*"]
    assert rows(steps(3, {"a": 2, "b": 1}, 4)) == ["a0* b0* a0* b0*", "a1 a0* a1 b0*", "a0* a1 b0* a0*"]


@pytest.mark.parametrize("streams", [1, 3, 8])
@pytest.mark.parametrize("seed", [None, 1])
def test_rows_run_through_whole_videos_in_order_and_every_video_comes_once_an_epoch(streams, seed):
    made = steps(300, COUNTS, streams, seed)
    assert all(len(step) == streams for step in made)
    for row in range(streams):
        rest = [step[row] for step in made]
        while len(rest) > max(COUNTS.values()):
            name = rest[0][0]
            assert rest[: COUNTS[name]] == [(name, t, t == 0) for t in range(COUNTS[name])]
            del rest[: COUNTS[name]]
    names = started(made)
    epochs = [names[start : start + 5] for start in range(0, len(names) - 4, 5)]
    assert len(epochs) > 10
    assert all(sorted(epoch) == sorted(COUNTS) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 1 if seed is None else len(set(map(tuple, epochs))) > 5


def test_seed_of_sequences():
    backwards = dict(reversed(COUNTS.items()))
    assert steps(50, COUNTS, 3, 7) == steps(50, backwards, 3, 7) != steps(50, COUNTS, 3, 8)
    assert started(steps(50, backwards, 1))[:5] == list(backwards)
    assert list(sequences({}, 2)) == list(sequences({}, 2, 1)) == []


def test_sequences_are_frozen():
    """A seed's training must not depend on the version of a library."""
    assert "".join(started(steps(40, COUNTS, 2, 1))[:15]) == "cbeadacedbcdbea"


def test_every_order_of_an_epoch_is_equally_likely():
    """By chi-square (5 degrees of freedom, chance 1e-3)."""
    names = "".join(started(steps(12000, {"a": 1, "b": 1, "c": 1}, 1, 1)))
    orders = Counter(names[start : start + 3] for start in range(0, len(names), 3))
    assert len(orders) == 6 and sum((count - 4000 / 6) ** 2 / (4000 / 6) for count in orders.values()) < 20.5
