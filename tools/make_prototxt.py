"""Run rcnn/programs/make_prototxt.py, as `googlenet-rcnn make-prototxt` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.make_prototxt import main

if __name__ == "__main__":
    run(main)
