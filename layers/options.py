"""What the Python layers share: their options, and how they say what is wrong."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Optional, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from rcnn.data import crops
from rcnn.files import InputError

Blobs = Sequence[Any]  # of caffe.Blob, a layer's bottoms or tops


class Options(BaseModel):
    """The options of a layer, a field each; a field's description is what messages say that it takes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CropOptions(Options):
    """How a layer cuts its crops."""

    size: PositiveInt = Field(description="the side of the crop in pixels")
    mean: Annotated[list[FiniteFloat], Field(min_length=min(crops.MEANS), max_length=max(crops.MEANS))] = Field(
        list(crops.MEAN), description="three numbers, blue, green, red, or for flow two, x and y"
    )
    scale: FiniteFloat = Field(1.0, description="a number")
    crop: Literal["random", "corners"] = Field("random", description='"random" or "corners"')
    seed: Optional[NonNegativeInt] = Field(None, description="a whole number of at least 0, or null")


Model = TypeVar("Model", bound=Options)


@contextmanager
def printing_errors() -> Iterator[None]:
    """Print an InputError before Caffe aborts on it, since the `caffe` program does not say what a layer raised.

    It decorates the methods that Caffe calls.
    """
    try:
        yield
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        raise


def read_options(layer: str, text: str, options: type[Model]) -> Model:
    """Return the options of a param_str.

    Parameters
    ----------
    layer : how messages call the layer
    text : JSON, the param_str
    options : the model of the layer's options

    Raises
    ------
    InputError
        If it is not JSON, names another option, or a value is wrong or missing.
    """
    try:
        return options.model_validate_json(text or "{}")
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # a word misspelt, not missing
    if first["type"] == "json_invalid":
        raise InputError(f"{layer}: param_str is not JSON ({first['ctx']['error']}): {text}")
    name = str(first["loc"][0]) if first["loc"] else ""
    if name not in options.model_fields:
        raise InputError(f"{layer}: param_str knows {', '.join(options.model_fields)}; it says {text}")
    field = options.model_fields[name]
    rule = f'param_str needs "{name}",' if field.is_required() else f'"{name}" takes'
    raise InputError(f"{layer}: {rule} {field.description}; it says {text}")
