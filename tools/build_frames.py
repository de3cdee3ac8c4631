"""Run rcnn/programs/build_frames.py, as `googlenet-rcnn build-frames` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.build_frames import main

if __name__ == "__main__":
    run(main)
