"""Run rcnn/programs/reproduce.py, as `googlenet-rcnn reproduce` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.reproduce import main

if __name__ == "__main__":
    run(main)
