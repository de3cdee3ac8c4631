"""Run `googlenet-rcnn init-weights` from a clone."""

from rcnn.__main__ import start

if __name__ == "__main__":
    start("init_weights")
