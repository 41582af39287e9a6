"""Builds `build/docs`: README as the first page, the API reference with its guides, and `llms.txt`, the same as text.

Diagrams are Mermaid in the Markdown; they are drawn here, so that no page runs a script for them.
"""

import html
import os
import re
import sys
from importlib import import_module
from pathlib import Path

import mermaidx
import pdoc
from pdoc.render_helpers import to_html

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "src" / "signstash"
SITE = PROJECT / "build" / "docs"
TEMPLATES = PROJECT / ".ci" / "pdoc"
MODULES = (
    "signstash",
    *(
        f"signstash.{name}"
        for name in ("client", "blocking", "documents", "options", "results", "journal", "errors", "retries")
    ),
    *(f"signstash.{name}" for name in ("auth", "settings", "integration", "models", "api")),
    *(f"signstash.{name}" for name in ("testing", "sandbox", "verification", "command_line")),
)
PUBLIC = {
    "blocking": ("BlockingSignStash",),
    "documents": ("Document",),
    "options": ("SignatureOptions", "VisibleSignature", "Preservation"),
    "results": ("SignedDocument", "SignedOutcome", "FailedOutcome", "Outcome", "Progress", "SignedBatch"),
    "retries": ("RetryPolicy",),
    "auth": ("TokenAuth",),
    "settings": (
        *("ClientOptions", "RunOptions", "UnknownOutcomes", "Environment", "Upload", "MultipartFileNames", "SaveTo"),
        *("DEFAULT_TIMEOUT", "DEFAULT_DEADLINE", "TOKEN_URLS", "ENVIRONMENT_VARIABLES"),
    ),
    "command_line": ("main",),
}
"""What is shown of modules that hold more than users call."""
DIAGRAM = re.compile(r'<pre class="mermaid-pre"><div class="mermaid">(.*?)</div>\s*</pre>', re.DOTALL)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>signstash</title>
<style>{style}
body {{ max-width: 60rem; margin: 0 auto; padding: 1rem; font-family: system-ui, sans-serif; line-height: 1.5; }}
pre {{ overflow-x: auto; padding: .5rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
.diagram {{ overflow-x: auto; }}
.diagram svg {{ min-width: 44rem; }}
td, th {{ border: 1px solid #8888; padding: .2rem .5rem; text-align: left; vertical-align: top; }}
</style>
</head>
<body class="pdoc">
<nav>Reference and search: {links}</nav>
{text}
</body>
</html>
"""


def guides() -> list[Path]:
    """README and the guides beside the modules, in the order of reading."""
    return [PROJECT / "README.md", *sorted(PACKAGE.rglob("*.md"))]


def draw(page: str) -> str:
    """Replace the Mermaid in a page by drawings."""

    def drawn(match: re.Match[str]) -> str:
        svg = mermaidx.render(html.unescape(match[1])).svg()
        return f'<div class="diagram">{re.sub(r"my-svg", f"diagram-{match.start()}", svg)}</div>'

    return DIAGRAM.sub(drawn, page)


def link(html_page: str, page: Path, folder: Path) -> str:
    """Let links to guides lead to the pages of the modules that include them.

    Args:
        html_page: A page.
        page: Where it is.
        folder: Folder of the Markdown in it, from which its links lead.
    """

    def linked(match: re.Match[str]) -> str:
        module = _module_of((folder / match[1]).resolve())
        target = SITE / f"{module.replace('.', '/')}.html"
        return f'href="{os.path.relpath(target, page.parent)}{match[2] or ""}"'

    return re.sub(r'href="((?!https?:)[^"#]+\.md)(#[^"]*)?"', linked, html_page)


def _module_of(guide: Path) -> str:
    """The module that includes a guide."""
    return next(
        module
        for module in MODULES
        if guide.parent == _folder(module) and f".. include:: {guide.name}" in _source(module)
    )


def _folder(module: str) -> Path:
    folder = PROJECT / "src" / module.replace(".", "/")
    return folder if folder.is_dir() else folder.parent


def _source(module: str) -> str:
    folder = PROJECT / "src" / module.replace(".", "/")
    return (folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")).read_text("utf-8")


def main() -> int:
    """Build the site."""
    pdoc.render.configure(docformat="google", show_source=False, template_directory=TEMPLATES)
    for module in map(
        import_module, ("signstash.models", "signstash.api")
    ):  # pdoc does not ask for what is loaded late
        vars(module).update({name: getattr(module, name) for name in module.__all__})
    for name, names in PUBLIC.items():
        vars(import_module(f"signstash.{name}"))["__all__"] = names
    listed = (name for name in MODULES if name != "signstash.models")  # which the package lists itself
    pdoc.pdoc(*listed, r"!signstash\.command_line\.", output_directory=SITE)
    templates = Path(pdoc.__file__).parent / "templates"
    style = "\n".join((templates / name).read_text("utf-8") for name in ("theme.css", "syntax-highlighting.css"))
    links = " · ".join(f'<a href="{name.replace(".", "/")}.html">{name}</a>' for name in MODULES)
    text = to_html((PROJECT / "README.md").read_text("utf-8"))
    (SITE / "index.html").write_text(PAGE.format(style=style, links=links, text=text), "utf-8")
    for page in SITE.rglob("*.html"):
        module = ".".join(page.relative_to(SITE).with_suffix("").parts)
        folder = PROJECT if module == "index" else _folder(module)
        text = re.sub(r"<p>Method generated by attrs for class [^<]*</p>", "", page.read_text("utf-8"))
        page.write_text(link(draw(text), page, folder), "utf-8")
    (SITE / "llms.txt").write_text("\n\n".join(guide.read_text("utf-8").strip() for guide in guides()) + "\n", "utf-8")
    print(f"{SITE / 'index.html'}: {sum(1 for _ in SITE.rglob('*.html'))} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
