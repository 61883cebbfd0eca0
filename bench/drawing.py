"""Bars as SVG. Our own forty lines: a plotting library brings numpy and a renderer along for a rectangle and some dots."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, ROW, LEFT, RIGHT = 720, 34, 170, 110
STYLE = "text{font:13px sans-serif;fill:#333}.ours{fill:#2a6fbb}.other{fill:#b8c4d0}.turn{fill:#222;fill-opacity:.6}"


def bars(title: str, variants: Mapping[str, Sequence[float]], given_up: float = math.inf) -> str:
    """One horizontal bar a variant, its length the median, a dot for each turn; the first variant stands out.

    A bar as long as `given_up` goes on: nobody waited for its end.
    """
    most = max(max(values) for values in variants.values()) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    height = 40 + ROW * len(variants)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="8" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for row, (name, values) in enumerate(variants.items()):
        parts += _bar(36 + ROW * row, name, values, scale, first=row == 0, given_up=given_up)
    return "\n".join([*parts, "</svg>", ""])


def _bar(top: int, name: str, values: Sequence[float], scale: float, *, first: bool, given_up: float) -> list[str]:
    median = statistics.median(values)
    told = f"{median:,.0f}" if median >= 100 else f"{median:.3g}"
    told = f"> {told}" if median >= given_up else told
    dots = [f'<circle class="turn" cx="{LEFT + value * scale:.1f}" cy="{top + 11}" r="3"/>' for value in values]
    return [
        f'<text x="{LEFT - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{"ours" if first else "other"}" x="{LEFT}" y="{top}" width="{median * scale:.1f}" height="22"/>',
        *dots,
        f'<text x="{LEFT + max(values) * scale + 10:.1f}" y="{top + 16}">{told}</text>',
    ]
