"""Which values of a description go together, beyond what the type of each one says."""

import re
from typing import Any, Optional

from rcnn import recipe
from rcnn.data import flow
from rcnn.experiments import made_videos
from rcnn.files import InputError
from rcnn.googlenet import Model
from rcnn.recipe import PYTORCH_ONLY, Recipe

NEEDED = ("batch", "size", "stage1-iterations", "iterations", "snapshot")  # what the cost hangs on
SET = (
    *("check", "out", "snapshots", "classes", "seed", "channels", "encoding"),
    *("train-pairs", "test-pairs", "frames", "train-list", "test-list", "cnn-stage1-iterations"),
)  # options of make_prototxt.py that follow from the rest
IMAGE_ONLY = ("mean", "cnn-iterations", "stage1-iterations")  # options of the image stream's nets, not the flow's too


def check(description: Any) -> None:
    """Raise InputError for values of a `description.Description` that do not go together."""
    demand("image" in description.streams, 'streams: "image" is always one of them')
    demand(description.start != "pretrained" or description.pretrained, 'start: "pretrained" needs the key pretrained')
    demand(
        not description.seeds or description.seed in description.seeds,
        f"seeds: seed, {description.seed}, is one of them",
    )
    _check_nets("nets", description.nets, NEEDED, description)
    _check_cnn(description)
    if description.flow:
        demand("stage1-iterations" not in description.flow.nets, "flow: nets: stage1-iterations: flow has no stage 1")
        needed = [key for key in NEEDED if key not in IMAGE_ONLY]
        _check_nets("flow: nets", description.flow_nets, needed, description, flow.CHANNELS)
    for name, variant in description.variants.items():
        part = f"variants: {name}"
        demand(re.fullmatch(r"[a-z0-9][a-z0-9 -]*", name), f"{part}: a name is of small letters, digits, blanks and -")
        demand(
            variant.start == "pretrained" or variant.stages == 1,
            f"{part}: from nothing there is one stage: say stages 1",
        )
        demand(
            variant.start == "nothing" or description.starts != "nothing",
            f'{part}: all nets start from nothing: say start "nothing" and stages 1',
        )
        demand(
            variant.stages == 2 or "stage1-iterations" not in variant.nets,
            f"{part}: nets: stage1-iterations: with stages 1 there is no stage 1 of its own",
        )
        _check_nets(f"{part}: nets", {**description.nets, **variant.nets}, NEEDED, description)
    for key in ("variants", "recurrent-test", "motion-energy"):
        demand(
            not getattr(description, key.replace("-", "_")) or "random" in description.samplings,
            f'{key}: it needs the sampling "random"',
        )
    if description.make is None:
        demand(description.videos, "videos is missing (or make, where videos are to be made)")
        demand(description.lists or description.group, "lists is missing (or group, to leave out one a split)")
        held = [key for key in ("hold-out", "hold-out-next") if getattr(description, key.replace("-", "_"))]
        demand(len(held) < 2, "hold-out names the groups, and hold-out-next counts them; give one of them")
        demand(description.group or not held, f"{''.join(held)}: it needs group, by which a video's group is found")
        demand(held or not description.validate, "validate: it needs hold-out or hold-out-next")
        return
    for key in ("videos", "lists", "classes", "only-classes", "group", "hold-out", "hold-out-next", "validate"):
        demand(not getattr(description, key.replace("-", "_")), f"{key} and make do not go together")
    problem = made_videos.problem(description.make)
    demand(problem is None, problem)


def _check_cnn(description):
    """Raise InputError where the CNN is not to have as many updates as the RCNN after what both start from."""
    given, both = description.nets.get("cnn-iterations"), ("stage1-iterations", "iterations")
    if description.starts == "cnn":
        demand(given is not None, 'nets: cnn-iterations is missing: updates of the CNN that all start from ("start")')
    else:
        updates = sum(description.nets[key] for key in both)
        demand(
            given in (None, updates),
            f"nets: cnn-iterations {given}: the CNN has the {updates} updates of the RCNN; leave it out",
        )
    if description.flow:
        updates = description.flow_nets["iterations"]
        given = description.flow.nets.get("cnn-iterations")
        demand(
            given in (None, updates),
            f"flow: nets: cnn-iterations {given}: the CNN has the {updates} updates of the RCNN; leave it out",
        )


def _check_nets(part, nets, needed, description, channels=3):
    """Raise InputError where settings of nets make no recipe, lack what is needed, or have what is set by the rest."""
    for key, value in nets.items():
        demand(key not in SET, f"{part}: {key} follows from the rest; leave it out")
        demand(
            description.engine == "torch" or key.replace("-", "_") not in PYTORCH_ONLY,
            f"{part}: {key} is of trainings in PyTorch; leave it out",
        )
        demand(value is not None, f"{part}: {key} is null; leave it out")
    for key in needed:
        demand(key in nets, f"{part}: {key} is missing")
    try:
        net = recipe.parse(nets, Recipe(model=Model(channels=channels)))
    except InputError as error:
        raise InputError(f"{part}: {error}") from None
    demand(
        description.size >= net.model.size,
        f"size: frames of {description.size} pixels are smaller than the nets' input of {net.model.size} ({part})",
    )


def demand(holds: object, message: Optional[str]) -> None:
    """Raise InputError with a message unless something holds."""
    if not holds:
        raise InputError(message)
