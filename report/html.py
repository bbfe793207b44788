"""One self-contained page of a report: Markdown to HTML, with every image inside."""

import base64
import re
from pathlib import Path

from markdown import markdown

IMAGE = re.compile(r'(<img [^>]*?src=")([^"]+)(")')
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
h1, h2, h3 { line-height: 1.2; margin-top: 2em; } h2 { border-bottom: 1px solid #bbb; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.85rem; }
td, th { border: 1px solid #ccc; padding: 0.3em 0.6em; text-align: left; vertical-align: top; }
img { max-width: 100%; } img[src^="data:image/png"] { image-rendering: pixelated; min-width: 60%; }
code { background: #f2f2f2; padding: 0 0.2em; }
"""


def to_html(page: str, folder: Path) -> str:
    """Turn the Markdown of a page in ``folder`` into one HTML file that needs no other."""
    body = markdown(page, extensions=["tables", "fenced_code", "toc", "sane_lists"])
    body = IMAGE.sub(lambda found: found[1] + inlined(folder / found[2]) + found[3], body)
    title = page.partition("\n")[0].lstrip("# ")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def inlined(path: Path) -> str:
    """Return a file's content as a data URI."""
    return f"data:{KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
