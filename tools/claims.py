"""Run rcnn/programs/claims.py, as `googlenet-rcnn claims` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.claims import main

if __name__ == "__main__":
    run(main)
