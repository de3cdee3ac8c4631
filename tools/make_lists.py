"""Run `googlenet-rcnn make-lists` from a clone."""

from rcnn.__main__ import start

if __name__ == "__main__":
    start("make_lists")
