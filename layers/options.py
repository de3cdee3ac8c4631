"""What the Python layers share: their options, and how they say what is wrong."""
import json
import sys
from contextlib import contextmanager

import numpy as np

from rcnn.data import crops
from rcnn.files import InputError


@contextmanager
def spoken():
    """Print an InputError before Caffe aborts on it, since the `caffe` program does not say what a layer raised."""
    try:
        yield
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        raise


def read_options(layer, text, defaults):
    """Return the options of a param_str, JSON, as a dict with a value for each name of `defaults`.

    layer: how messages call the layer.  defaults: the options that it knows, among those of `_RULES`, and what they are
    where param_str does not say.  Raises InputError where it is not JSON, names another option, or a value is wrong.
    """
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise InputError(f"{layer}: param_str is not JSON ({error}): {text}") from error
    if not isinstance(given, dict) or set(given) - set(defaults):
        raise InputError(f"{layer}: param_str knows {', '.join(defaults)}; it says {text}")
    options = {**defaults, **given}
    for name, value in options.items():
        fits, rule = _RULES[name]
        if not fits(value):
            raise InputError(f"{layer}: {rule}; it says {text}")
    return options


def _is_path(value):
    return isinstance(value, str) and value != ""


def _is_count(value):
    return type(value) is int and value >= 1


def _is_number(value):
    return type(value) in (int, float) and np.isfinite(value)


_RULES = {
    "source": (_is_path, 'param_str needs "source", the path of a frames LMDB'),
    "list": (_is_path, 'param_str needs "list", the path of a list of videos'),
    "batch": (_is_count, 'param_str needs "batch", the number of videos side by side'),
    "size": (_is_count, 'param_str needs "size", the side of the crop in pixels'),
    "mean": (lambda value: isinstance(value, list) and len(value) in crops.MEANS and all(map(_is_number, value)),
             '"mean" takes three numbers, blue, green, red, or for flow two, x and y'),
    "scale": (_is_number, '"scale" takes a number'),
    "seed": (lambda value: value is None or type(value) is int and value >= 0,
             '"seed" takes a whole number of at least 0, or null'),
    "together": (lambda value: type(value) is bool, '"together" takes true or false'),
}
