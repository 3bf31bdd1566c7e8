"""Every link in the documentation leads somewhere, and is called by the name of what it leads to."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
LINK = re.compile(r"\[([^\]\[]*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def _links(page: Path) -> Iterator[tuple[str, str, str]]:
    """The text, the path and the anchor of each link that stays in the repository."""
    for text, target in LINK.findall(FENCED.sub("", page.read_text())):
        if not target.startswith(("http://", "https://")):
            path, _, anchor = target.partition("#")
            yield text, path, anchor


def anchors(page: Path) -> set[str]:
    """What a hosting site makes of the headings: lower case, no punctuation, dashes for spaces."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_what_it_says(page: Path) -> None:
    wrong = []
    for text, path, anchor in _links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            wrong.append(f"[{text}]({path}): there is no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            wrong.append(f"[{text}]({path}#{anchor}): there is no such heading")
        elif text.strip("`").endswith((".py", ".md")) and not str(target).endswith(f"/{text.strip('`')}"):
            wrong.append(f"[{text}]({path}): it is called {target.name}")
    assert not wrong, "\n".join(wrong)
