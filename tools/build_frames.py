"""Run `googlenet-rcnn build-frames` from a clone."""

from rcnn.__main__ import start

if __name__ == "__main__":
    start("build_frames")
