"""Run rcnn/programs/motion_energy.py, as `googlenet-rcnn motion-energy` does where the package is installed."""
from rcnn.command import run
from rcnn.programs.motion_energy import main

if __name__ == "__main__":
    run(main)
