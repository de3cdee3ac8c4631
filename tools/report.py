"""Run rcnn/programs/report.py, as `googlenet-rcnn report` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.report import main

if __name__ == "__main__":
    run(main)
