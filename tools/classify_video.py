"""Run `googlenet-rcnn classify-video` from a clone."""

from rcnn.__main__ import start

if __name__ == "__main__":
    start("classify_video")
