"""Run rcnn/programs/make_motion_videos.py, as `googlenet-rcnn make-motion-videos` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.make_motion_videos import main

if __name__ == "__main__":
    run(main)
