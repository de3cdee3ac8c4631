"""Run rcnn/programs/fuse.py, as `googlenet-rcnn fuse` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.fuse import main

if __name__ == "__main__":
    run(main)
