"""Run rcnn/programs/classify_video.py, as `googlenet-rcnn classify-video` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.classify_video import main

if __name__ == "__main__":
    run(main)
