"""The deploy nets of `rcnn.nets.prototxt` in pycaffe, every blob readable: what the port is held against."""
import tempfile
from pathlib import Path

import caffe

from rcnn.nets import device

from rcnn.nets import prototxt as net
from rcnn.googlenet import PREVIOUS

NETS = {"frame": net.deploy_cnn, "pair": net.deploy_rcnn_r, "recurrent": net.deploy_rcnn_s}


class CaffeNetwork:
    """A deploy net of one kind with weights, on the CPU; for `rcnn.nets.compare.outputs`."""

    def __init__(self, kind, model, weights, rows):
        """kind: of NETS.  model: Model.  weights: path of a caffemodel that has the net's layers.  rows: the batch."""
        self.kind = kind
        device.use(None)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.prototxt"
            path.write_text(str(NETS[kind](model, rows)))
            self._net = caffe.Net(str(path), caffe.TEST, weights=str(weights))

    def outputs(self, frames, previous=None, first=None):
        """Return {blob: values} of a pass, views that hold until the next one; arguments as of `port.network.Network`.

        Without the inputs, and what Caffe's nets have beside the layers of `rcnn.googlenet`: copies, marks, v^{t-1}.
        """
        blobs = self._net.blobs
        blobs["frame"].data[...] = frames
        if self.kind == "pair":
            blobs[PREVIOUS + "frame"].data[...] = previous
        if self.kind == "recurrent":
            blobs["first"].data[...] = first
        self._net.forward()
        recalled = PREVIOUS if self.kind == "recurrent" else "state"
        return {name: blob.data for name, blob in blobs.items() if name not in self._net.inputs
                and "_split_" not in name and not name.startswith(("state", "first/", recalled))}
