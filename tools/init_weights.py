"""Run rcnn/programs/init_weights.py, as `googlenet-rcnn init-weights` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.init_weights import main

if __name__ == "__main__":
    run(main)
