"""What the steps of a reproduction cost: seconds and bytes, from counts and from the net's layers.

Disk.  A stored frame or pair takes so many bytes a pixel as synthetic 320x240 videos took (data/README.md), and a page
of the LMDB at least; flow as that of the same videos took, of which most stands still.  A snapshot is two files of four
bytes a parameter; scores are four bytes each.

Time.  A net's is its multiply-adds over a speed.  With S those of the spatial parts for a frame and T those of the
temporal parts (two side heads counted):

    training, CNN, stage 1           S           forward; the gradients of the classifiers are left out
    CNN                              3 S         forward; the gradients of the maps and of the weights
    RCNN-r, stage 1                  3 S + 2 T   frame t-1 forward; frame t forward, maps' gradients; What's gradients
    RCNN-r, stage 2                  4 S + 2 T   and W's gradients
    RCNN-s, stage 1                  2 S + 2 T   the same without frame t-1
    RCNN-s, stage 2                  3 S + 2 T
    RCNN-r of flow, from nothing     as stage 2
    test of CNN, RCNN-r, RCNN-s      S, 2 S + T, S + T a crop

T's maps have no gradient (Eq. 6).  Speeds are multiply-adds a second of one core: that of slim nets is the demo's, 7 to
11 thousand million by Caffe, and PyTorch is reckoned alike; WIDE_SPEED, of nets of half GoogLeNet's width or more, is
what benchmarks/training.py measured at 112 and 224 pixels on two cores.  That of a GPU is the paper's 12.5 ms a frame
on a K40 (Sec. 3.4).

Flow takes FLOW_SECONDS of one core for each stored frame, by the processes that share the work: as measured on 320x240
synthetic videos, on a machine that others used too.  Brox's method on a GPU is faster, by how much was not measured.
"""

from collections.abc import Mapping
from math import prod
from typing import Any, Optional

from rcnn import recipe
from rcnn.data import flow
from rcnn.experiments.description import FRAME_RATE, Counts
from rcnn.googlenet import RECURRENT, Convolution, Model, shapes
from rcnn.recipe import Recipe

Cost = tuple[float, float]  # seconds, bytes

PAGE = 4096
FRAME_BYTES, PAIR_BYTES = 20600 / 256**2, 48900 / 256**2
FLOW_FRAME_BYTES, FLOW_PAIR_BYTES = 7300 / 256**2, 12200 / 256**2
FLOW_SECONDS = {"brox": 0.3, "dis": 0.0075, "farneback": 0.016, "tvl1": 0.73}
SPEED, GPU_SPEED = 8.5e9, 4.7e9 / 0.0125
WIDE, WIDE_SPEED = 0.5, {"caffe": 20e9, "float32": 30e9, "bfloat16": 50e9}
DECODING = 0.3e-3  # seconds a frame of a 320x240 video
ENCODING = 1.1e-7  # seconds a pixel of a stored pair, counted in one of its frames
DRAWING = 1.0e-3  # seconds a frame of a synthetic video
STARTING = 2.0  # seconds that a program takes to begin and end


class Costs:
    """Estimates for the nets of a description.

    Parameters
    ----------
    nets
        Settings of a recipe, as descriptions spell them.
    counts
        How much there is.
    size
        Of stored frames, pixels.
    gpu
        Whether the nets run on one.
    channels
        Of a frame: 3, or flow's 2.
    engine
        "caffe" or "torch".
    """

    def __init__(
        self,
        nets: Mapping[str, Any],
        counts: Counts,
        size: int,
        gpu: bool = False,
        channels: int = 3,
        engine: str = "caffe",
    ):
        self.recipe = recipe.parse(nets, Recipe(model=Model(channels=channels)))
        self.counts, self.frame_size = counts, size
        self.spatial, self.temporal, self.parameters = _sizes(self.recipe.model)
        self.frame_bytes, self.pair_bytes = (
            (FLOW_FRAME_BYTES, FLOW_PAIR_BYTES) if channels == flow.CHANNELS else (FRAME_BYTES, PAIR_BYTES)
        )
        self.speed = GPU_SPEED if gpu else SPEED
        if not gpu and self.recipe.model.width >= WIDE:
            self.speed = WIDE_SPEED["caffe" if engine == "caffe" else self.recipe.learning.precision]

    def videos(self) -> Cost:
        """Return (seconds, bytes) of the synthetic videos."""
        frames = self.counts.videos * self.counts.seconds * FRAME_RATE
        return frames * DRAWING, frames * 500

    def frames(self, fps: float, method: Optional[str] = None, workers: int = 1) -> Cost:
        """Return (seconds, bytes) of a frames LMDB of all videos, of flow by a method, by so many processes."""
        number = self.counts.videos * self.counts.seconds
        computing = number * fps * FLOW_SECONDS[method] / workers if method else 0
        stored = max(PAGE, self.frame_bytes * self.frame_size**2)
        return number * FRAME_RATE * DECODING + computing, number * fps * stored

    def pairs(self, fps: float, videos: int, each: Optional[int] = None) -> Cost:
        """Return (seconds, bytes) of a pairs LMDB of so many videos, all pairs or `each` a video."""
        number = videos * (each or max(1, self.counts.seconds * fps - 1))
        return (number * ENCODING * self.frame_size**2, number * max(2 * PAGE, self.pair_bytes * self.frame_size**2))

    def training(self, kind: str, iterations: int) -> Cost:
        """Return (seconds, bytes of all snapshots); kind: a run of trainings.runs, "rcnn_r_stage1"."""
        spatial, temporal = {
            "cnn_stage1": (1, 0),
            "cnn": (3, 0),
            "rcnn_r_stage1": (3, 2),
            "rcnn_r": (4, 2),
            "rcnn_s_stage1": (2, 2),
            "rcnn_s": (3, 2),
        }[kind]
        solver = self.recipe.solver
        frames = iterations * self.recipe.data.batch * solver.iter_size
        snapshots = -(-iterations // solver.snapshot)
        return (
            self._seconds(frames * (spatial * self.spatial + temporal * self.temporal)),
            2 * snapshots * self.weights(not kind.startswith("cnn"))[1],
        )

    def weights(self, temporal: bool) -> Cost:
        """Return (seconds, bytes) of a file of starting weights."""
        return STARTING, 4 * (self.parameters[0] + self.parameters[1] * temporal)

    def test(self, kind: str, fps: float, videos: int, crops: int) -> Cost:
        """Return (seconds, bytes of the scores); kind: "cnn", "rcnn_r" or "rcnn_s"."""
        spatial, temporal = {"cnn": (1, 0), "rcnn_r": (2, 1), "rcnn_s": (1, 1)}[kind]
        number = videos * self.counts.seconds * fps * crops
        return (
            self._seconds(number * (spatial * self.spatial + temporal * self.temporal)),
            number * 3 * self.counts.classes * 4,
        )

    def _seconds(self, multiply_adds):
        return STARTING + multiply_adds / self.speed


def _sizes(model):
    """Return (spatial, temporal multiply-adds of a frame, (spatial, temporal parameters)) of a net."""
    layers = model.layers()
    maps = shapes(layers, model.channels, model.size)
    work, weights = [0, 0], [0, 0]
    for layer in layers:
        if isinstance(layer, RECURRENT):
            below, area = maps[layer.bottom], prod(maps[layer.name][1:])
            if isinstance(layer, Convolution):
                parts = below[0] * layer.channels * layer.kernel**2, layer.channels**2 * layer.temporal_kernel**2
            else:
                parts = prod(below) * layer.channels, layer.channels**2
            for index, number in enumerate(parts):
                weights[index] += number
                work[index] += number * area
    return (*work, tuple(weights))
