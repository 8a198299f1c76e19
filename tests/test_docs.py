"""The pages keep their word: tests and pages that they name exist, and no page is forgotten."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")


def names_in(file: Path) -> Iterator[str]:
    """The names of the tests in `file`, as pytest spells them after the file."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield from (f"{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef))


@pytest.fixture(scope="module")
def guarantees() -> str:
    return (DOCS / "guarantees.md").read_text()


def test_every_test_that_a_guarantee_names_exists(guarantees: str) -> None:
    named = TEST.findall(guarantees)
    missing = [
        f"{file}::{test}" for file, test in named if not (ROOT / file).is_file() or test not in names_in(ROOT / file)
    ]

    assert missing == []
    assert len(named) == guarantees.count("`tests/")


def test_every_guarantee_names_a_test(guarantees: str) -> None:
    """A promise is a line of the outer list; its tests stand below it."""
    promised = guarantees.partition("## What is not promised")[0]
    promises = re.split(r"^- ", promised, flags=re.MULTILINE)[1:]

    assert len(promises) > 1
    assert [promise for promise in promises if not TEST.search(promise)] == []


def test_the_index_of_decisions_lists_every_page_by_its_title() -> None:
    expected: list[str] = []
    for page in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        number, title = re.fullmatch(r"# (?:(\d+)[.:]? )?(.+)", page.read_text().splitlines()[0]).groups()  # type: ignore[union-attr]  # a page without a title fails here
        assert number is None or int(number) == int(page.name[:4])
        expected.append(f"- {page.name[:4]}: [{title}]({page.name})")

    listed = [line for line in (DOCS / "decisions" / "index.md").read_text().splitlines() if line.startswith("- ")]

    assert listed == expected


def test_every_other_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]

    assert [page for page in pages if not page.startswith("decisions/0") and page not in navigation] == []


def test_no_page_or_module_names_the_machine_it_was_written_on() -> None:
    files = [ROOT / "README.md", *DOCS.rglob("*.md"), *ROOT.glob("*/treewarden/**/*.py")]

    assert [str(file) for file in files if re.search(r"/(work|home|Users)/\w", file.read_text())] == []
