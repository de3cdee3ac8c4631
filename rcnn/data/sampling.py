"""The order in which frames meet the network: random pairs, or videos side by side (Sec. 2.3 and Table 1 of the paper).

Seeded, no input or output.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Optional

import numpy as np


def pair_order(counts: Mapping[str, int], seed: int, pairs_per_video: Optional[int] = None) -> list[tuple[str, int]]:
    """Return every pair of neighbouring frames in a random order in which neighbours come from different videos.

    Parameters
    ----------
    counts : {video name: number of frames}
    seed : 0 to 2**32 - 1; one seed gives one order, whatever the order of `counts`
    pairs_per_video : at most so many pairs of a video, each from the middle of one of as many equal parts; None for all

    Returns
    -------
    list of (name, t)
        Frames t - 1 and t of that video, 1 <= t < number.  Two neighbours share a video only where one video has more
        pairs than all others together plus one, and then as seldom as can be: that number of pairs less (all others +
        1) times.

    Notes
    -----
    A shuffled list is walked, and what follows a pair of its own video is set aside; these are then put at random into
    places that touch no pair of their own video.  With k pairs of a video among n in place, none touching, n + 1 - 2k
    places are free for it.  None is free only if it takes every second place, first and last included, and that one
    video at most can do at a time; so as long as pairs of another video remain, one of those has a place.
    """
    names = sorted(counts)
    pairs = [(video, t) for video, name in enumerate(names) for t in _times(counts[name], pairs_per_video)]
    # RandomState's streams are frozen; those of NumPy's newer generators may change with its version.
    random = np.random.RandomState(seed)
    shuffled = np.array(pairs, np.int64).reshape(-1, 2)[random.permutation(len(pairs))]
    kept, aside = _walk(shuffled)
    order = _insert(kept, aside, random)
    return [(names[video], t) for video, t in order.tolist()]


def clashes(order: Sequence[tuple[str, int]]) -> int:
    """Return how many neighbours in `order`, a list of (name, t), share a video."""
    return sum(one[0] == two[0] for one, two in zip(order, order[1:]))


def _times(frames: int, limit: Optional[int]) -> Sequence[int]:
    """Return the t of the pairs (t - 1, t) of a video of `frames` frames, at most `limit` of them."""
    if limit is None or frames - 1 <= limit:
        return range(1, frames)
    return [1 + (2 * part + 1) * (frames - 1) // (2 * limit) for part in range(limit)]


def _walk(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split rows (video, t) into those kept in place, no two neighbours of one video, and those set aside."""
    keep = np.zeros(len(pairs), bool)
    last = -1
    for place, video in enumerate(pairs[:, 0].tolist()):
        if video != last:
            keep[place], last = True, video
    return pairs[keep], pairs[~keep]


def _insert(order: np.ndarray, aside: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Return `order` with the rows of `aside` put in, as `pair_order` says."""
    while len(aside):
        waiting = np.zeros(len(aside), bool)
        for video in np.unique(aside[:, 0]):
            rows = np.flatnonzero(aside[:, 0] == video)
            places = _places(order[:, 0], video)
            fit = rows[: len(places)]
            order = np.insert(order, random.choice(places, len(fit), replace=False), aside[fit], axis=0)
            waiting[rows[len(fit) :]] = True
        if waiting.all():
            # Only one video is left and it takes every second place: wherever one more goes, it meets its own.
            places = random.randint(0, len(order) + 1, len(aside))
            return np.insert(order, places, aside, axis=0)
        aside = aside[waiting]
    return order


def _places(videos: np.ndarray, video: int) -> np.ndarray:
    """Return the places, 0 to len(videos), at which `video` would touch none of its own."""
    other = np.concatenate([[True], videos != video, [True]])
    return np.flatnonzero(other[:-1] & other[1:])


def sequences(
    counts: Mapping[str, int], streams: int, seed: Optional[int] = None
) -> Iterator[list[tuple[str, int, bool]]]:
    """Yield time steps without end, in which several videos run side by side in order.

    A stream whose video is over takes the next of a queue that all share, so that every video comes once an epoch; an
    empty queue is filled with all videos again.

    Parameters
    ----------
    counts : {video name: number of frames, at least 1}
    streams : how many videos run side by side
    seed : 0 to 2**32 - 1, of each epoch's order; one seed gives one sequence, whatever the order of `counts`.  None:
        every epoch in the order of `counts`

    Yields
    ------
    list of (name, t, first)
        Item b is stream b's: the frames t = 0, 1, ... of a video, then of the next one; first, the mark of Sec. 2.3, is
        True at t = 0.
    """
    queue = _epochs(counts, seed)

    def stream() -> Iterator[tuple[str, int, bool]]:
        for name in queue:
            for t in range(counts[name]):
                yield name, t, t == 0

    return map(list, zip(*(stream() for _ in range(streams))))


def _epochs(counts: Mapping[str, int], seed: Optional[int]) -> Iterator[str]:
    """Yield video names, all of them once and then all of them again, without end where there are any."""
    names = list(counts) if seed is None else sorted(counts)
    random = np.random.RandomState(seed)
    while names:
        for place in range(len(names)) if seed is None else random.permutation(len(names)):
            yield names[place]
