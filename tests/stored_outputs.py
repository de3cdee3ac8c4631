"""What Caffe gives for the small net of rcnn/nets/compare.py; run as a program, it writes rcnn/nets/outputs.npz anew.

python tests/stored_outputs.py
"""

import tempfile
from pathlib import Path

import numpy as np

from rcnn.nets import caffemodel, compare
from rcnn.nets.caffe_net import of_model
from rcnn.nets.network import KINDS


def outputs():
    """Return {"<kind>:<blob>": float32 array, a row for each pass}."""
    stored = {}
    for kind in KINDS:
        arrays, model = compare.small_net(kind)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.caffemodel"
            caffemodel.write(path, arrays, model)
            network = of_model(kind, model, path)
        for name, steps in compare.outputs(network, compare.random_frames(model), compare.marks(kind)).items():
            if not name.endswith(("/average", "/spatial", "/temporal")):
                stored[f"{kind}:{name}"] = np.stack(steps)
    return stored


if __name__ == "__main__":
    np.savez_compressed(compare.CAFFE_OUTPUTS, **outputs())
