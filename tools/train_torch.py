"""Run rcnn/programs/train_torch.py, as `googlenet-rcnn train-torch` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.train_torch import main

if __name__ == "__main__":
    run(main)
