"""The page of every key is what `make reference` makes of the checks' own metadata (issue 3, "Done when")."""

from __future__ import annotations

import re
from html import unescape

import reference_page

from edgestack.config.reference import reference


def test_it_is_up_to_date() -> None:
    assert reference_page.PAGE.read_text("utf-8") == reference_page.page(), "run: make reference"


def told() -> dict[str, str]:
    """What the page says of each key, as text, by its identifier."""
    entries = re.findall(r'<dt id="(.*?)">(.*?)</dd>', reference_page.page(), re.DOTALL)
    return {name: unescape(re.sub(r"<[^>]*>", "", text)) for name, text in entries}


def test_every_key_is_there_with_all_that_is_known_of_it() -> None:
    entries = told()
    shown = {name.rpartition(".")[2] for name in entries}
    for section in reference():
        for row in section.keys:
            assert row.name in shown
            plain = {name: text for name, text in entries.items() if name.rpartition(".")[2] == row.name}
            facts = [row.example, row.nginx, row.flag, row.default if row.default != "[]" else ""]
            wanted = [fact.replace("'", "’") if fact is facts[3] else fact for fact in facts if fact]
            assert any(
                all(fact in text or fact.replace("`", "") in text for fact in wanted) for text in plain.values()
            ), f"{section.name}: {row.name}"


def test_what_sites_and_routes_share_is_told_once() -> None:
    entries = told()
    assert "rules.headers" in entries
    assert "site.headers" not in entries
    assert "route.headers" not in entries
    assert {"site.hosts", "route.match", "route.static"} <= entries.keys()
