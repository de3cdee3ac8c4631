"""Run rcnn/programs/train.py, as `googlenet-rcnn train` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.train import main

if __name__ == "__main__":
    run(main)
