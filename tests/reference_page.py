"""Makes site/guide/configuration-reference.html from the metadata of the keys: `make reference` runs it.

The frame (head, navigation, foot) is that of configuration.html. What sites and routes share is told once.
`tests/test_reference_page.py` fails when the page in the repository is not what this gives.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from edgestack.config.reference import KeyRow, SectionRows, preset_rows, reference, variable_rows

GUIDE = Path(__file__).resolve().parent.parent / "site" / "guide"
PAGE = GUIDE / "configuration-reference.html"
FRAME = GUIDE / "configuration.html"

TITLE = "Every key"
DESCRIPTION = "Every key of edgestack.toml: what it is, its default, an example, and nginx’s word for it."
LEAD = "All that <code>edgestack.toml</code> may say. This page is made from what the program checks."
BEFORE, AFTER = '<a href="configuration.html">← Configuration</a>', '<a href="command-line.html">Command line →</a>'
RULES = SectionRows("rules of a [[site]] or a [[route]]", "What a site and its routes may both say.", ())

NAMES = {"the top of the file": "the file", "a [[site]]": "[[site]]", "a [[route]]": "[[route]]"}


def page() -> str:
    """The whole page."""
    text = FRAME.read_text("utf-8").replace(' aria-current="page"', "")
    text = text.replace(f'<a href="{PAGE.name}">{TITLE}', f'<a href="{PAGE.name}" aria-current="page">{TITLE}', 1)
    text = re.sub("<title>.*?</title>", f"<title>{TITLE} · edgestack</title>", text)
    text = re.sub('(<meta name="description" content=)"[^"]*"', rf'\1"{DESCRIPTION}"', text)
    return re.sub(r"<main id=.*</main>", lambda _: "\n".join(main()), text, count=1, flags=re.DOTALL)


def main() -> Iterator[str]:
    """The lines of its text."""
    found = sections()
    yield '<main id="main">'
    yield f"<h1>{TITLE}</h1>"
    yield f'<p class="lead">{LEAD}</p>'
    yield '<p class="index">' + " ".join(f'<a href="#{slug(one.name)}">{short(one.name)}</a>' for one in found)
    yield '<a href="#presets">Presets</a> <a href="#variables">Variables</a></p>'
    for one in found:
        yield from section(one)
    yield '\n<h2 id="presets">Presets</h2>\n<dl class="options keys">'
    for name, doc in preset_rows():
        yield f"<dt><code>&quot;{name}&quot;</code></dt>\n<dd>{prose(doc)}</dd>"
    yield "</dl>"
    yield from variables()
    yield f'<p class="onward">{BEFORE}{AFTER}</p>'
    yield "</main>"


def sections() -> list[SectionRows]:
    """The tables of the file; what a site and a route share stands between them, by itself."""
    found = {one.name: one for one in reference()}
    site, route = found["a [[site]]"], found["a [[route]]"]
    shared = [row for row in site.keys if row in route.keys]
    told = []
    for one in found.values():
        told.append(one._replace(keys=tuple(row for row in one.keys if row not in shared or one not in (site, route))))
        if one is route:
            told.append(RULES._replace(keys=tuple(shared)))
    return told


def section(one: SectionRows) -> Iterator[str]:
    """A table with its keys."""
    yield f'\n<h2 id="{slug(one.name)}">{heading(one.name)}</h2>'
    yield f"<p>{prose(one.doc)}</p>"
    yield '<dl class="options keys">'
    for row in one.keys:
        identity = f"{slug(one.name)}.{row.name}"
        yield f'<dt id="{identity}"><code>{row.name}</code> <small>{prose(row.type)}</small></dt>'
        told = " ".join(facts(row))
        yield f"<dd>{prose(row.doc)}" + (f'\n<p class="facts">{told}</p></dd>' if told else "</dd>")
    yield "</dl>"


def facts(row: KeyRow) -> Iterator[str]:
    """Default, example, nginx's directive and the option, each where there is one."""
    if row.required:
        yield "<span>Must be there</span>"
    elif row.default and row.default != "[]":
        yield f"<span>Default {value(row.default)}</span>"
    if row.example:
        yield f"<span>Example <code>{escape(row.name)} = {escape(row.example, quote=False)}</code></span>"
    if row.nginx:
        yield f"<span>nginx <code>{escape(row.nginx, quote=False)}</code></span>"
    if row.flag:
        yield f'<span>Option <a href="command-line.html"><code>{row.flag}</code></a></span>'


def variables() -> Iterator[str]:
    """The table of variables."""
    yield '\n<h2 id="variables">Variables</h2>'
    yield "<p>Wherever a text may have them. Those with a star are known once there is an answer:"
    yield "in log lines and fields.</p>"
    yield '<div class="scroll"><table>'
    yield '<thead><tr><th scope="col">Variable</th><th scope="col">What it is</th></tr></thead>\n<tbody>'
    for row in variable_rows():
        star = "" if row.moment == "request" else " *"
        yield f'<tr><th scope="row"><code>{row.name}</code>{star}</th><td>{prose(row.doc)}</td></tr>'
    yield "</tbody>\n</table></div>"


def slug(name: str) -> str:
    """An identifier: "[server.limits]" -> "server-limits", "`limit` of a [[site]] or a [[route]]" -> "limit"."""
    quoted = re.search(r"`(.*?)`", name)
    words = quoted[1] if quoted else "rules" if name == RULES.name else NAMES.get(name, name)
    return "-".join(re.findall(r"[a-z_]+", words.lower().removeprefix("a ")))


def heading(name: str) -> str:
    """A table's name, with what is written in the file as code."""
    text = NAMES.get(name, name.removeprefix("a ") if name.startswith("a [[") else name)
    text = re.sub(r"\[\[?[\w.]+\]?\]", lambda found: f"<code>{found[0]}</code>", text[:1].upper() + text[1:])
    return re.sub(r"`(.*?)`", r"<code>\1</code>", text)


def short(name: str) -> str:
    """A table's name, as short as it is clear."""
    if name in (RULES.name, "the top of the file"):
        return "Rules" if name == RULES.name else "The file"
    quoted = re.search(r"`(.*?)`", name)
    return f"<code>{quoted[1] if quoted else name.removeprefix('a ')}</code>"


def prose(text: str) -> str:
    """Words with code in backticks; types may have choices in double quotes."""
    text = re.sub(r'(?<!\w)("[^"` ]+")(?![\w`])', r"`\1`", text) if "`" not in text else text
    parts = re.split(r"`(.*?)`", text.replace("'", "’"))
    return "".join(
        f"<code>{escape(part, quote=False)}</code>" if at % 2 else escape(part, quote=False)
        for at, part in enumerate(parts)
    )


def value(text: str) -> str:
    """A default: as it is written in the file where it is a value, else in words."""
    written = re.fullmatch(r'-?\d+|true|false|".*"|\[.*\]', text)
    return f"<code>{escape(text, quote=False)}</code>" if written else prose(text)


def write(lines: Iterable[str]) -> None:
    """Say something to whoever runs this."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    write([f"{PAGE.relative_to(GUIDE.parent.parent)}: {PAGE.stat().st_size} bytes"])
