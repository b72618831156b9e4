"""Hooks of the documentation site: the README as home page, files beside the docs, formulas, and lists of names.

MkDocs calls the functions by their names; mkdocstrings calls the extension for every docstring. Formulas become MathML
when the site is built, so that no page loads a script for them.
"""

import ast
import html
import re
from pathlib import Path

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "labelcontrast"
OUTSIDE = re.compile(r"\]\(\.\./([^)#]+)(?:#[^)]*)?\)")
"""A link from a page to a file of the repository that is no page."""
ROOMS = re.findall(r"^\| `labelcontrast\.(\w+)` \|", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
"""The rooms in the table of api.md; the names of each have a page of their own."""
TEXTS = {".md", ".py", ".toml", ".json"}
"""Files that a browser shows as text, if their name says so."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the home page, a page for each room of api.md, and each file that a page links to elsewhere."""
    home = (ROOT / "README.md").read_text().replace("](docs/", "](")
    home = re.sub(r"\]\((?!https?:|#)((?:results|benchmarks|recipes|src)/|[A-Z]+(?:\.md)?\))", r"](../\1", home)
    files.append(File.generated(config, "index.md", content=home))
    for room in (SOURCE.name, *ROOMS):
        files.append(File.generated(config, f"api/{room}.md", content=f"# {room}\n\n<!-- names of {room} -->\n"))
    pages = [file.content_string for file in files if file.is_documentation_page()]
    for name in sorted({name for text in pages for name in OUTSIDE.findall(text)}):
        path = ROOT / name
        if path.is_dir():
            listed = "\n".join(sorted(one.name for one in path.iterdir()))
            files.append(File.generated(config, _place(name), content=f"{name}:\n\n{listed}\n"))
        else:
            files.append(File.generated(config, _place(name), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to the copies of files outside, and put the public names of a room where a page asks for them."""
    del page, config, files
    text = OUTSIDE.sub(lambda link: f"]({_place(link[1])})", markdown)
    return re.sub(r"^<!-- names of (\S+) -->$", lambda room: _names(room[1]), text, flags=re.MULTILINE)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace formulas by MathML."""
    del page, config, files

    def formula(found: re.Match[str]) -> str:
        text, block = html.unescape(found[2]).strip(), found[1] == "div"
        shown = convert(text[2:-2].strip(), display="block" if block else "inline")
        return f'<div class="formula">{shown}</div>' if block else shown

    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', formula, content, flags=re.DOTALL)


class Formulas(griffe.Extension):
    """Write the formulas of a docstring, which are in reStructuredText, as those of a page."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Change one docstring."""
        if obj.docstring is None:
            return
        text = re.sub(
            r"^( *)\.\. math:: *(.*(?:\n\1 +\S.*)*)",
            lambda found: f"{found[1]}$$\n{found[1]}{' '.join(found[2].split())}\n{found[1]}$$",
            obj.docstring.value,
            flags=re.MULTILINE,
        )
        text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
        text = re.sub(r":(?:func|class|attr|meth):`~?([^`]*)`", r"`\1`", text)
        text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)  # which griffe reads as code
        obj.docstring.value = re.sub(r"^( *)(References?): (?=\S)", r"\1**\2:** ", text, flags=re.MULTILINE)


def _place(name: str) -> str:
    """Return where the site has a file of the repository."""
    path = Path(name.rstrip("/"))
    return f"files/{path}.txt" if path.suffix in TEXTS or not path.suffix else f"files/{path}"


def _names(room: str) -> str:
    """List the names that a package exports, for mkdocstrings; those of a room are linked from the package itself."""
    found = _exported(room)
    elsewhere = set().union(*map(_exported, ROOMS)) if room == SOURCE.name else set()
    linked = ", ".join(f"[`{name.rsplit('.', 1)[1]}`][{name}]" for name in _sorted(found & elsewhere))
    sentence = f"Names of the rooms that are exported here too: {linked}." if linked else ""
    return "\n\n".join([sentence, *(f"::: {name}" for name in _sorted(found - elsewhere))])


def _exported(room: str) -> set[str]:
    """Return the names that a package exports, each with the module that defines it."""
    folder = SOURCE if room == SOURCE.name else SOURCE / room
    tree = ast.parse((folder / "__init__.py").read_text())
    return {
        f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("labelcontrast.")
        for name in node.names
        if name.asname == name.name and _is_defined(node.module, name.name)
    }


def _sorted(names: set[str]) -> list[str]:
    return sorted(names, key=lambda one: one.rsplit(".", 1)[1].lower())


def _is_defined(module: str, name: str) -> bool:
    """Return False for a name that a module makes when it is asked for, such as the function of a loss."""
    path = ROOT / "src" / Path(*module.split("."))
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    return re.search(rf"^(?:def |class )?{name}\b", text, re.MULTILINE) is not None
