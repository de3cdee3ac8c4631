"""Run rcnn/programs/export.py, as `googlenet-rcnn export` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.export import main

if __name__ == "__main__":
    run(main)
