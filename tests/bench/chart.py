"""The chart for the site: processor time per answer, a bar for each server, a group for each case; plain SVG.

A function from the results' JSON to text. Each group has a scale of its own (a file of 10 MiB costs a thousand times
what one of 1 KiB does), so lengths compare within a group only. Colours follow the reader's light or dark preference.
"""

from __future__ import annotations

from statistics import median
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["draw"]

WIDTH = 760
LABEL = 268
"""Where bars begin."""
BAR_ROOM = WIDTH - LABEL - 110
ROW = 26
HEAD = 46
TOP = 74
BOTTOM = 64

TITLES = {
    "static-1k": "A file of 1 KiB",
    "static-1k-tls": "A file of 1 KiB over TLS",
    "static-100k": "A file of 100 KiB",
    "static-100k-tls": "A file of 100 KiB over TLS",
    "static-10m": "A file of 10 MiB",
    "static-10m-tls": "A file of 10 MiB over TLS",
    "static-gzip": "60 KB of text, compressed",
    "wsgi-hello": "A WSGI application that says hello",
    "proxy-1k": "A proxied answer of 1 KiB",
    "proxy-10m": "A proxied answer of 10 MiB",
    "websocket": "A WebSocket message there and back",
    "cache-1k": "A stored answer of 1 KiB",
    "cache-hello": "An application that says hello, stored",
    "cache-computing": "A page that takes 1 ms to make, stored",
}

STYLE = """\
  .card { fill: #fbfbf9; stroke: #e4e2dc; }
  text { font: 14px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #3b3f45; }
  .title { font-size: 19px; font-weight: 650; fill: #16191d; }
  .case { font-size: 15px; font-weight: 600; fill: #16191d; }
  .soft { font-size: 12.5px; fill: #70757d; } .ours { fill: #16191d; font-weight: 600; }
  .value { font-variant-numeric: tabular-nums; }
  .peer { fill: #c3c7cd; } .edge { fill: #0f7b6c; } .line { stroke: #e4e2dc; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #15181c; stroke: #2a2f36; } text { fill: #c5cad1; } .title, .case, .ours { fill: #f2f4f6; }
    .soft { fill: #8b929b; } .peer { fill: #4a515b; } .edge { fill: #35c2ab; } .line { stroke: #2a2f36; }
  }"""


def draw(results: dict[str, Any]) -> str:
    """The chart of `results`, as made by `report.as_json`."""
    groups = grouped(results["measurements"])
    parts: list[str] = []
    top = TOP
    for case, bars in groups.items():
        parts.append(group(TITLES.get(case, case), bars, top))
        top += HEAD + ROW * len(bars)
    height = top + BOTTOM
    made_with, made_on = footnotes(results)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t d">',
            '<title id="t">Server processor time per answer</title>',
            f'<desc id="d">{escape(described(groups))}</desc>',
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="12"/>',
            '<text class="title" x="28" y="40">Server processor time per answer</text>',
            '<text class="soft" x="28" y="61">Shorter is cheaper. One core, 32 kept connections, requests like a '
            "browser’s. Each group has its own scale.</text>",
            *parts,
            f'<text class="soft" x="28" y="{height - 36}">{escape(made_with)}</text>',
            f'<text class="soft" x="28" y="{height - 18}">{escape(made_on)}</text>',
            "</svg>\n",
        ]
    )


def grouped(measurements: list[dict[str, Any]]) -> dict[str, list[tuple[str, float]]]:
    """Medians over the rounds: case -> (server, microseconds), cheapest first; spoilt runs are left out."""
    rounds: dict[str, dict[str, list[float]]] = {}
    for one in measurements:
        if not one["problem"]:
            rounds.setdefault(one["case"], {}).setdefault(one["server"], []).append(one["micros"])
    return {
        case: sorted(((server, median(values)) for server, values in servers.items()), key=lambda bar: bar[1])
        for case, servers in rounds.items()
    }


def group(title: str, bars: list[tuple[str, float]], top: int) -> str:
    """One case: its name, and a bar for each server."""
    longest = max(value for _, value in bars)
    lines = [f'<path class="line" d="M28 {top + 8}H{WIDTH - 28}"/>']
    lines.append(f'<text class="case" x="28" y="{top + 33}">{escape(title)}</text>')
    for number, (server, value) in enumerate(bars):
        lines.append(bar(server, value, value / longest, top + HEAD + ROW * number))
    return "\n".join(lines)


def bar(server: str, value: float, share: float, top: int) -> str:
    """A label, a bar, a number."""
    ours = server.startswith("edgestack")
    name, _, options = server.partition(" (")
    length = max(2.0, share * BAR_ROOM)
    label = f'{escape(name)}<tspan class="soft" dx="6">{escape(options.rstrip(")"))}</tspan>'
    text, colour = ("ours", "edge") if ours else ("theirs", "peer")
    return (
        f'<text class="{text}" x="{LABEL - 12}" y="{top + 15}" text-anchor="end">{label}</text>'
        f'<rect class="{colour}" x="{LABEL}" y="{top + 2}" width="{length:.1f}" height="18" rx="4"/>'
        f'<text class="value" x="{LABEL + length + 9:.1f}" y="{top + 15}">{spoken(value)}</text>'
    )


def spoken(micros: float) -> str:
    """A duration with three digits."""
    if micros >= 1000:
        return f"{micros / 1000:.2f} ms"
    return f"{micros:.1f} µs" if micros < 100 else f"{micros:.0f} µs"


def described(groups: dict[str, list[tuple[str, float]]]) -> str:
    """The same in words, for those who do not see it."""
    return " ".join(
        f"{TITLES.get(case, case)}: {', '.join(f'{server} {spoken(value)}' for server, value in bars)}."
        for case, bars in groups.items()
    )


def footnotes(results: dict[str, Any]) -> tuple[str, str]:
    """With what it was measured; when and where."""
    versions, machine = results["versions"], results["machine"]
    names = ("edgestack", "nginx", "granian", "waitress", "gunicorn")
    present = [f"{name} {versions[name]}" for name in names if versions[name] != "absent"]
    where = f"{results['date'][:10]} · {machine['cpu']} · Python {versions['python']}"
    return ", ".join(present), f"{where} · medians of {results['method']['rounds']} rounds"
