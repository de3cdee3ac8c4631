"""Run rcnn/programs/figures.py, as `googlenet-rcnn figures` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.figures import main

if __name__ == "__main__":
    run(main)
