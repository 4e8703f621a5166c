"""Every page is in the menu of the site, every link leads somewhere; the site builds without a warning."""

import importlib.util
import os
import re
import subprocess
import sys
from html import unescape

import pytest
import yaml
from places import REPOSITORY

PATTERNS = ("*.md", "docs/**/*.md", "model_zoo/*/README.md")
PAGES = [path for pattern in PATTERNS for path in REPOSITORY.glob(pattern)]
FENCE = re.compile(r"^(`{3,})\w*\n.*?^\1$", re.M | re.S)


@pytest.fixture(scope="module")
def reference():
    """The script that makes the reference pages, as a module."""
    path = REPOSITORY / "docs/make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def menu():
    """The paths of the pages in the menu."""

    def paths(entry):
        values = entry.values() if isinstance(entry, dict) else entry
        return [entry] if isinstance(entry, str) else [path for value in values for path in paths(value)]

    return paths(yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())["nav"])


def anchors(text):
    """The anchors of a page's headings, as repository browsers make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_in_the_menu_once(menu, reference):
    pages = {path.relative_to(REPOSITORY / "docs").as_posix() for path in REPOSITORY.glob("docs/**/*.md")}
    made = {"index.md", *reference.PAGES} | {path.name.lower() for path in REPOSITORY.glob("[!R]*.md")}
    assert sorted(menu) == sorted(pages | made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_reference_names_every_verb_flag_recipe_and_model(reference, cli):
    commands, recipes, models = reference.commands(), reference.recipes(), reference.models()
    for verb in ("train", "export", "convert-data"):
        assert f"\n## {verb}\n" in commands
        section = commands.split(f"\n## {verb}\n")[1].split("\n## ")[0]
        for flag in re.findall(r"^  (--[a-z0-9-]+)", cli(verb, "--help").out, re.M):
            assert re.search(rf"^\| `(-\w, )?{flag}\b", section, re.M), flag
    assert "| `batch_size` | `int` | `32` | images per process and step |" in recipes
    assert "\n## ssd_resnet34/mlperf\n" in recipes
    assert "[`ssd_tiny`](../../model_zoo/ssd_tiny/README.md)" in models


def test_everything_public_is_in_the_reference_of_the_api(reference):
    import gluon_ssd

    documented = {name.rpartition(".")[2] for name in reference.PUBLIC}
    assert set(gluon_ssd.__all__) - {"__version__"} == documented - {"Detection"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    for package in ("material", "mkdocstrings"):
        pytest.importorskip(package, reason="the site needs: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "-q", "build", "--strict", "-d", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.mark.once
def test_the_site_needs_no_other_host(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="([^"]+)"', page.read_text())
        assert not [address for address in loaded if address.startswith(("http", "//"))], page


@pytest.mark.once
def test_every_link_of_the_site_leads_to_a_file_of_it(site):
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#:]+)["#]', page.read_text()):
            if page.name != "404.html":
                assert (page.parent / link).exists(), (page, link)


@pytest.mark.once
def test_files_that_pages_link_to_are_pages_of_the_site(site):
    text = (site / "own-models.html").read_text()
    assert 'href="source/examples/fcos.py.html"' in text
    source = (site / "source/examples/fcos.py.html").read_text()
    assert "class FCOS" in re.sub(r"<[^>]+>", "", unescape(source))
    assert 'href="models/' in re.sub(r"\.\./", "", (site / "reference/models.html").read_text())
    assert "<code>str | None</code>" in (site / "reference/recipes.html").read_text()
    assert "Finds objects on images." in (site / "reference/api.html").read_text()
