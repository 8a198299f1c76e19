"""What the tests of definitions share: reading text as `tree.yaml`, and modules that exist for one test."""

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from treewarden.supervision_trees.definitions import DefinitionErrors, Format, TreeDefinition, parse_definition

Read = Callable[[str], TreeDefinition]
Complain = Callable[..., list[str]]


@pytest.fixture
def read() -> Read:
    """Parse YAML that is expected to be right."""

    def parse(text: str) -> TreeDefinition:
        return parse_definition(textwrap.dedent(text), source=Path("tree.yaml"), format=Format.YAML)

    return parse


@pytest.fixture
def complain() -> Complain:
    """Parse text that is expected to be wrong; the complaints, one line each."""

    def lines(text: str, notation: Format = Format.YAML) -> list[str]:
        source = Path(f"tree.{notation.value}")
        with pytest.raises(DefinitionErrors) as caught:
            parse_definition(textwrap.dedent(text), source=source, format=notation)
        assert str(caught.value) == "\n".join(str(complaint) for complaint in caught.value.complaints)
        return str(caught.value).splitlines()

    return lines


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    """Write a module that can be imported during this test; its name."""
    folder = tmp_path / "importable"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    importlib.invalidate_caches()
    before = set(sys.modules)

    def write(name: str, source: str) -> str:
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    yield write
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def counter(module: Callable[[str, str], str]) -> str:
    """The class path of a small actor."""
    name = module(
        "tests_of_definitions_counter",
        """
        from treewarden.actors import Actor

        class Counter(Actor):
            def __init__(self, start: int = 0, *, id: str = "", steps: tuple[int, ...] = ()) -> None:
                super().__init__()

        class NotAnActor:
            pass

        A_VALUE = 3
        """,
    )
    return f"{name}:Counter"
