# GoogLeNet-RCNN with its Caffe.
#
#     docker build -t googlenet-rcnn .
#     docker run --rm -it --gpus all -v "$PWD/data:/opt/googlenet-rcnn/data" \
#         -v "$PWD/snapshots:/opt/googlenet-rcnn/snapshots" googlenet-rcnn \
#         caffe train -solver prototxt/solver_rcnn_r.prototxt -gpu 0
#
# What is not written into a mounted folder ends with the container. The image's user is uid 1000; where those folders
# are another's: docker run --user "$(id -u):$(id -g)". docs/docker.md says more.
#
# Without arguments: CUDA 11.8, the last that knows the K40, without cuDNN, which dropped it before that; the machine
# code is for sm_35 to sm_90. Other setups (BASE and RUNTIME are a pair):
#
#     CPU only         BASE=debian:12  RUNTIME=debian:12  OPTIONS=--cpu
#     K40 with cuDNN   BASE=nvidia/cuda:11.7.1-cudnn8-devel-ubuntu22.04
#                      RUNTIME=nvidia/cuda:11.7.1-cudnn8-runtime-ubuntu22.04  OPTIONS="--cudnn --arch 35"
#     newer GPUs       BASE=nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04
#                      RUNTIME=nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04  OPTIONS=--cudnn
#
# OPTIONS are those of tools/install_caffe.sh; --nccl adds several GPUs.

ARG BASE=nvidia/cuda:11.8.0-devel-ubuntu22.04
ARG RUNTIME=nvidia/cuda:11.8.0-runtime-ubuntu22.04

FROM ${BASE} AS build
ARG OPTIONS=--cuda
ENV XDG_CACHE_HOME=/opt/cache
WORKDIR /opt/googlenet-rcnn
COPY requirements.txt ./
COPY tools/install_caffe.sh tools/
COPY tools/caffe_build tools/caffe_build
COPY rcnn/__init__.py rcnn/
RUN tools/install_caffe.sh --slim ${OPTIONS} \
    && tools/caffe_build/runtime_packages.sh /opt/cache .venv >/opt/cache/packages

FROM ${RUNTIME}
COPY --from=build /opt/cache /opt/cache
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive xargs apt-get install -qq -y --no-install-recommends </opt/cache/packages \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 --non-unique rcnn \
    && install -d -o rcnn -g rcnn /opt/googlenet-rcnn
WORKDIR /opt/googlenet-rcnn
COPY --from=build --chown=rcnn:rcnn /opt/googlenet-rcnn/.venv .venv
COPY --chown=rcnn:rcnn . .
# for users that the image does not know, who have no home folder
ENV PATH=/opt/googlenet-rcnn/.venv/bin:$PATH MPLCONFIGDIR=/tmp/matplotlib
USER 1000
CMD ["bash"]
