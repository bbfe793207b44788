"""One self-contained page of a report: Markdown to HTML, with every image inside."""

import base64
import re
from pathlib import Path
from urllib.parse import quote

from markdown import markdown

IMAGE = re.compile(r'<img alt="([^"]*)" src="([^"]+)" ?/?>')
TITLE = re.compile(r"(<h1[^>]*>.*?</h1>)")
NUMBERS = re.compile(r"<td>((?:<strong>)?[+-]?[\d.,]+(?: ± [\d.,]+)?(?:</strong>)?|–)</td>")
AS_IT_IS = " !$&'()*+,-./:;=?@[]^_`{|}~<>"  # what need not be quoted in a data URI between double quotes
STYLE = """
:root { color-scheme: light dark; --text: #1c1c1c; --page: #fff; --line: #ccc; --code: #f2f2f2; --link: #1b4f9c; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e4e4; --page: #17191c; --line: #444; --code: #2a2d31; --link: #8ab4f8; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--text); background: var(--page); overflow-wrap: break-word; }
a { color: var(--link); }
h1, h2, h3 { line-height: 1.2; margin-top: 2em; } h2 { border-bottom: 1px solid var(--line); }
h3 { border-top: 1px dotted var(--line); padding-top: 1em; }
.table { overflow-x: auto; margin: 1em 0; }
table { border-collapse: collapse; font-size: 0.85rem; }
td, th { border: 1px solid var(--line); padding: 0.3em 0.6em; text-align: left; vertical-align: top; min-width: 2.5em; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; background: #fff; padding: 4px; box-sizing: border-box; border-radius: 3px; }
p:has(img) { overflow-x: auto; } img[src^="data:image/svg"] { min-width: 38rem; }
code { background: var(--code); padding: 0 0.2em; border-radius: 3px; }
@media (max-width: 50rem) { /* the longest column of the tables of four and of five gets room, the table scrolls */
  td:nth-child(4):nth-last-child(2):not(.number), td:nth-child(2):nth-last-child(3):not(.number) { min-width: 16em; }
}
nav { font-size: 0.9rem; columns: 18rem; } nav ul { padding-left: 1.2em; margin: 0; }
"""


def to_html(page: str, folder: Path) -> str:
    """Turn the Markdown of a page in ``folder`` into one HTML file that needs no other."""
    settings = {"toc": {"toc_depth": "2-3"}}
    body = markdown(page, extensions=["tables", "fenced_code", "toc", "sane_lists"], extension_configs=settings)
    body = with_images(body, folder)
    body = NUMBERS.sub(r'<td class="number">\1</td>', body)
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    contents = markdown(f"[TOC]\n\n{page}", extensions=["tables", "toc"], extension_configs=settings)
    nav = re.search(r'<div class="toc">(.*?)</div>', contents, re.DOTALL)[1].strip()
    if nav.count("<li>") > 1:
        body = TITLE.sub(lambda found: f"{found[1]}\n<nav>{nav}</nav>", body, count=1)
    title = page.partition("\n")[0].lstrip("# ")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def with_images(body: str, folder: Path) -> str:
    """Put every image into the page; where it comes again stands a link to it."""
    names: dict[str, str] = {}

    def put(found: re.Match) -> str:
        text, source = found.groups()
        if source in names:
            return f'<a href="#{names[source]}">{text}: shown above</a>'
        names[source] = f"picture-{len(names) + 1}"
        return f'<img id="{names[source]}" alt="{text}" src="{inlined(folder / source)}">'

    return IMAGE.sub(put, body)


def inlined(path: Path) -> str:
    """Return a file's content as a data URI: an SVG as text, which is shorter, a PNG in base 64."""
    if path.suffix == ".svg":
        text = path.read_text()
        return f"data:image/svg+xml,{quote(text if chr(39) in text else text.replace(chr(34), chr(39)), safe=AS_IT_IS)}"
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
