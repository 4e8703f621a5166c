"""CITATION.cff, CHANGELOG.md and CONTRIBUTING.md say what the code says."""

import re

import yaml
from places import REPOSITORY

from gluon_ssd.plugins import VARIABLE
from gluon_ssd.version import __version__


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_citation_names_the_version_and_the_licence():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert (citation["title"], citation["version"], citation["license"]) == (
        "gluon_ssd",
        __version__,
        "Apache-2.0",
    )
    assert {"cff-version", "message", "authors"} <= set(citation)


def test_the_changelog_begins_with_the_version():
    assert __version__ in re.findall(r"^## (.*)$", read("CHANGELOG.md"), re.M)[0]


def test_the_example_of_style_is_code_of_the_package():
    (example,) = re.findall(r"^```python\n(.*?)^```$", read("CONTRIBUTING.md"), re.M | re.S)
    assert example in read("gluon_ssd/boxes.py")


def test_the_targets_of_make_exist():
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.M))
    named = re.findall(r"`make ([a-z]+)", read("CONTRIBUTING.md") + read("README.md"))
    assert named and set(named) <= targets


def test_the_variable_of_plugins_is_the_one_that_is_read():
    assert f"`{VARIABLE}`" in read("SECURITY.md")
