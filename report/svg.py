"""What matplotlib writes as SVG, without what no reader sees: a third of the size."""

import re
from collections import Counter

SHEET = '<style type="text/css">'
OFTEN = 3  # a style that stands there more often is said once


def slim(svg: str) -> str:
    """Leave out metadata, names that nothing refers to, turns by nothing, and digits beyond a tenth of a point."""
    svg = svg.replace("'DejaVu Sans'", "DejaVu Sans")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", svg)
    referred = set(re.findall(r"#(\w+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in referred else "", svg)
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d)\d+", r"\1", tag[0]), shared_styles(svg))
    svg = re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><")
    return re.sub(r"<g>(<(?:path|use|text)\b[^>]*(?:/>|>[^<]*</\w+>))</g>", r"\1", svg) + "\n"


def shared_styles(svg: str) -> str:
    """Name the styles that stand there often, and say each of them once."""
    counts = Counter(re.findall(r' style="([^"]+)"', svg))
    names = {style: f"s{number}" for number, (style, count) in enumerate(counts.items()) if count > OFTEN}
    sheet = "".join(f".{name}{{{style}}}" for style, name in names.items())
    svg = re.sub(r' style="([^"]+)"', lambda it: f' class="{names[it[1]]}"' if it[1] in names else it[0], svg)
    return svg.replace(SHEET, SHEET + sheet, 1)
