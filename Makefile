# Each target first sees to it that Caffe and .venv are there, which takes a second where they are.

.PHONY: help caffe demo test clean

help:
	@echo "make demo   from nothing to a trained and tested GoogLeNet-RCNN, with its numbers and pictures"
	@echo "make test   the tests"
	@echo "make caffe  only build Caffe and .venv (tools/install_caffe.sh --help says more)"
	@echo "make clean  remove .venv and what the demo made; the Caffe build outside the clone stays"

caffe:
	tools/install_caffe.sh

demo: caffe
	.venv/bin/python tools/demo.py

test: caffe
	.venv/bin/python -m pytest -q tests

clean:
	rm -rf .venv demo .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
