"""What the site has besides the pages of docs/: README.md and its like, cards, linked files, the reference.

A link in a page leads to a file of the repository, as a repository browser needs it. On the site every such
file is a page of its own, and the link is rewritten to it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "model_zoo/*/README.md")
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".sh": "sh"}

sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "docs")]
import make_reference  # noqa: E402

# The file of the repository that a page was made from, by the page's path on the site.
origins: dict[str, Path] = {}


def site_path(target: Path) -> str:
    """Returns the path on the site of a file or folder of the repository."""
    path = target.relative_to(REPOSITORY)
    if path == Path("README.md"):
        return "index.md"
    if path.parts[0] == "docs" and path.suffix != ".py":
        return Path(*path.parts[1:]).as_posix()
    if path.match("model_zoo/*/README.md"):
        return f"models/{path.parent.name}.md"
    return path.name.lower() if path.suffix == ".md" else f"source/{path.as_posix()}.md"


def linked(text: str, origin: Path) -> list[Path]:
    """Returns the files of the repository that the page made from ``origin`` links to."""
    targets = ((origin.parent / link).resolve() for link in LINK.findall(text))
    return [path for path in targets if path.exists() and REPOSITORY in path.parents]


def source_page(target: Path) -> str:
    """Returns a page that shows a file, or the Python files of a folder."""
    if target.suffix == ".ipynb":
        return notebook_page(target)
    page = [f"# {target.relative_to(REPOSITORY).as_posix()}"]
    for path in sorted(target.glob("*.py")) if target.is_dir() else [target]:
        title = [f"## {path.name}"] if target.is_dir() else []
        code = path.read_text(encoding="utf-8").rstrip()
        page += [*title, f"````{LANGUAGES.get(path.suffix, 'text')}\n{code}\n````"]
    return "\n\n".join(page) + "\n"


def notebook_page(target: Path) -> str:
    """Returns the text and the code of a notebook, which is stored without outputs."""
    parts = []
    for cell in json.loads(target.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"````python\n{text}\n````")
    return "\n\n".join(parts) + "\n"


def page_text(target: Path) -> str:
    """Returns the Markdown of the page that shows a file of the repository."""
    return target.read_text(encoding="utf-8") if target.suffix == ".md" else source_page(target)


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that are not in docs/, beginning with the home page and ending where no link is left."""
    from mkdocs.structure.files import File

    origins.clear()
    for name, make in make_reference.PAGES.items():
        origins[name] = REPOSITORY / "docs" / name
        files.append(File.generated(config, name, content=make()))
    pending = [path for pattern in PAGES for path in REPOSITORY.glob(pattern)]
    while pending:
        target = pending.pop()
        name = site_path(target)
        there = files.get_file_from_path(name) is not None
        # A picture in docs/ is copied as it is.
        if name in origins or (there and target.suffix != ".md"):
            continue
        origins[name] = target
        text = page_text(target)
        if not there:
            files.append(File.generated(config, name, content=text))
        if target.suffix == ".md":
            pending += linked(text, target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Returns the Markdown of a page as the site needs it, with links to the pages of the files named."""
    # A bar in code ends the cell of a table for a repository browser unless it is escaped; here it does not.
    markdown = re.sub(r"`[^`\n]+`", lambda code: code[0].replace("\\|", "|"), markdown)
    name = page.file.src_uri
    origin = origins[name]
    if origin.suffix != ".md":
        return markdown

    def rewrite(match: re.Match[str]) -> str:
        found = linked(f"]({match[0]}", origin) if not match[0].startswith("/") else []
        return Path(os.path.relpath(site_path(found[0]), Path(name).parent)).as_posix() if found else match[0]

    return LINK.sub(rewrite, markdown)
