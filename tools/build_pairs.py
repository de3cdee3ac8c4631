"""Run rcnn/programs/build_pairs.py, as `googlenet-rcnn build-pairs` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.build_pairs import main

if __name__ == "__main__":
    run(main)
