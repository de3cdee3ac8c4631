"""Run rcnn/programs/demo.py, as `googlenet-rcnn demo` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.demo import main

if __name__ == "__main__":
    run(main)
