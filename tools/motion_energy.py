"""Run `googlenet-rcnn motion-energy` from a clone."""

from rcnn.__main__ import start

if __name__ == "__main__":
    start("motion_energy")
