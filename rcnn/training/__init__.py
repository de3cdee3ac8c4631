"""Training by Caffe and by PyTorch: solvers, logs, snapshots."""
