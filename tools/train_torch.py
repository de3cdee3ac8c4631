"""Run `googlenet-rcnn train-torch` from a clone."""

from rcnn.__main__ import start

if __name__ == "__main__":
    start("train_torch")
