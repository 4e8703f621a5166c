# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those who source this
# The images that the scripts build and run. A variable of the environment wins over what is here.

# What the GPU image is built on: the last MXNet container of NVIDIA, with its fused operators, DALI and Horovod.
: "${GLUON_SSD_BASE_IMAGE:=nvcr.io/nvidia/mxnet:24.06-py3}"
: "${GLUON_SSD_CPU_BASE_IMAGE:=python:3.11-slim-bookworm}"

# What the built images are called; change them to a name in your registry before you push.
: "${GLUON_SSD_IMAGE:=gluon_ssd:latest}"
: "${GLUON_SSD_CPU_IMAGE:=gluon_ssd:cpu}"
: "${GLUON_SSD_SERVE_IMAGE:=gluon_ssd:serve}"
