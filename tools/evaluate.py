"""Run rcnn/programs/evaluate.py, as `googlenet-rcnn evaluate` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.evaluate import main

if __name__ == "__main__":
    run(main)
