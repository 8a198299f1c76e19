"""The way in: a file or a text becomes a `TreeDefinition`, or one error with every complaint.

Text is read (`_source`, `_document`), validated (`_validation`), checked (`_checks`,
`_surroundings`) and only then turned into nodes (`_conversion`). A text that cannot be read at
all has one complaint; from there on nothing stops at the first mistake.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, assert_never

from treewarden.supervision_trees.definitions._checks import tree_findings
from treewarden.supervision_trees.definitions._conversion import root_node
from treewarden.supervision_trees.definitions._document import Document, Format, Unreadable
from treewarden.supervision_trees.definitions._json import read_json
from treewarden.supervision_trees.definitions._mistakes import (
    Complaint,
    DefinitionErrors,
    Doubts,
    Finding,
    line_of,
    place_of,
)
from treewarden.supervision_trees.definitions._nodes import TreeDefinition
from treewarden.supervision_trees.definitions._source import format_of, read_text
from treewarden.supervision_trees.definitions._surroundings import surroundings_findings
from treewarden.supervision_trees.definitions._toml import read_toml
from treewarden.supervision_trees.definitions._validation import validate
from treewarden.supervision_trees.definitions._yaml import read_yaml

__all__ = ["definition_text", "load_definition", "parse_definition"]

_NAMELESS: Final = "<text>"


def load_definition(path: str | Path) -> TreeDefinition:
    """Read a definition file; its suffix tells the notation (.yaml, .yml, .toml, .json).

    Looks at this machine too: programs, directories, variables of this process, and actor
    classes, whose modules are imported. Nothing is started. Safe from any thread.

    Raises:
        DefinitionErrors: with every complaint, if the file cannot be run as it is.
    """
    source = Path(path)
    return parse_definition(definition_text(source), source=source)


def definition_text(path: str | Path) -> str:
    """The text of a definition file, not read any further; its suffix is one that tells a notation.

    Raises:
        DefinitionErrors: with one complaint, if there is no such text.
    """
    source = Path(path)
    try:
        format_of(source)
        return read_text(source)
    except Unreadable as error:
        raise DefinitionErrors([_whole_file(error, str(source))]) from error


def parse_definition(text: str, *, source: Path | None, format: Format | None = None) -> TreeDefinition:  # noqa: A002 - what it is called everywhere
    """Read a definition from text that the caller has; otherwise as `load_definition`.

    `source` is not opened: it names the text in complaints and in the result, its suffix tells the
    notation where `format` does not, and relative working directories begin at its folder (without
    it, at the current one).

    Raises:
        DefinitionErrors: with every complaint.
    """
    name = _NAMELESS if source is None else str(source)
    try:
        document = _read(text, format_of(source or Path()) if format is None else format)
    except Unreadable as error:
        raise DefinitionErrors([_whole_file(error, name)]) from error
    if document.data is None:
        raise DefinitionErrors([Complaint(name, 0, "", "nothing", "a mapping with version, name and children")])
    validated = validate(document.data)
    doubtful = [*document.findings, *validated.findings]
    tree = validated.tree
    if tree is None:
        raise DefinitionErrors(_complaints(doubtful, document, name))
    folder = Path.cwd() if source is None else _folder_of(source)
    doubts = Doubts(finding.location for finding in doubtful)
    checked = (*tree_findings(tree), *surroundings_findings(tree, environment=os.environ, folder=folder))
    findings = [*doubtful, *(finding for finding in checked if not doubts.concern(finding))]
    if findings:
        raise DefinitionErrors(_complaints(findings, document, name))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return TreeDefinition(tree.name, source, digest, root_node(tree, folder))


def _folder_of(source: Path) -> Path:
    """The folder of `source` in one spelling, so that `../dev/tree.yaml` and `tree.yaml` give equal definitions."""
    folder = source.absolute().parent
    plain = Path(os.path.normpath(folder))
    try:
        return plain if plain.samefile(folder) else folder  # `..` behind a symbolic link leads elsewhere
    except OSError:
        return folder


def _read(text: str, notation: Format) -> Document:
    match notation:
        case Format.YAML:
            return read_yaml(text)
        case Format.TOML:
            return read_toml(text)
        case Format.JSON:
            return read_json(text)
        case _:
            assert_never(notation)


def _whole_file(error: Unreadable, name: str) -> Complaint:
    return Complaint(name, error.line, "", error.found, error.expected)


def _complaints(findings: Iterable[Finding], document: Document, name: str) -> list[Complaint]:
    """In the order of the lines, and of the checks where lines are equal or not known."""
    complaints = [
        Complaint(
            name,
            line_of(document.lines, finding.location),
            place_of(finding.location),
            finding.found,
            finding.expected,
        )
        for finding in findings
    ]
    return sorted(complaints, key=lambda complaint: complaint.line)
