# Each target first sees to it that Caffe and .venv are there, which takes a second where they are.

.PHONY: help caffe torch cuda cudnn claims demo lint test clean-room clean

help:
	@echo "make demo        from nothing to a trained and tested GoogLeNet-RCNN, with its numbers and pictures"
	@echo "make test        make lint, then the tests; make torch test: those of PyTorch too"
	@echo "make torch       add PyTorch to .venv: 0.8 GB for CPUs, or 6 GB as PyPI has it, with CUDA"
	@echo "make lint        only ruff, check and format, and mypy"
	@echo "make claims      what holds of the paper's claims, in one to three hours: docs/claims.md; SIZE=large is for a GPU"
	@echo "make caffe       only build Caffe and .venv (tools/install_caffe.sh --help says more)"
	@echo "make cuda        the same with CUDA, for GPUs and the CPU; make cudnn: with cuDNN, for GPUs only"
	@echo "make clean-room  the Dockerfile's steps and the first two in bare Debian roots, as root, without Docker"
	@echo "make clean       remove .venv and what demo and claims made; the Caffe build outside the clone stays"

caffe:
	tools/install_caffe.sh

cuda cudnn:
	tools/install_caffe.sh --$@

torch: caffe
	.venv/bin/pip install --disable-pip-version-check -q -r requirements-torch.txt

demo: caffe
	.venv/bin/python tools/demo.py

SIZE = small

claims: caffe
	.venv/bin/python tools/claims.py data/claims_$(SIZE).json --out claims/$(SIZE) --jobs 2 --page docs/claims.md

lint: caffe
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

test: lint
	.venv/bin/python -m pytest -q tests

clean-room:
	tests/clean_room.sh

clean:
	rm -rf .venv demo claims .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
