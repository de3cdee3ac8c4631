"""Run `googlenet-rcnn train` from a clone."""

from rcnn.__main__ import start

if __name__ == "__main__":
    start("train")
