"""Imported by pycaffe, and used only where an image is read."""

from . import __getattr__  # noqa: F401  says what is missing
