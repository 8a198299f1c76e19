"""Files that cannot be read at all: one complaint, which says what is there instead."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from treewarden.actors import ProcessSpec
from treewarden.supervision_trees.definitions import (
    DefinitionErrors,
    Format,
    ProcessNode,
    TreeDefinition,
    load_definition,
    parse_definition,
)

Complain = Callable[..., list[str]]


def only_complaint(path: Path) -> str:
    with pytest.raises(DefinitionErrors) as caught:
        load_definition(path)
    (complaint,) = caught.value.complaints
    return str(complaint).replace(str(path.parent), "")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "/t.yaml  found no such file, expected a definition file" == only_complaint(tmp_path / "t.yaml")


def test_a_directory_is_no_definition(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").mkdir()

    assert "/t.yaml  found a directory, expected a definition file" == only_complaint(tmp_path / "t.yaml")


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.yaml")

    assert "/t.yaml  found something that is no regular file, expected a definition file" == only_complaint(
        tmp_path / "t.yaml"
    )


def test_a_file_without_permission_says_so(tmp_path: Path, as_nobody: Callable[[], None]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("version: 1")
    path.chmod(0)
    as_nobody()

    assert "/t.yaml  found a file that cannot be read (Permission denied), expected a definition file" == (
        only_complaint(path)
    )


@pytest.fixture
def as_nobody() -> Iterator[Callable[[], None]]:
    """Give up root's right to read everything, for this test only."""
    uid = os.geteuid()

    def become() -> None:
        if uid == 0:
            os.seteuid(65_534)

    yield become
    os.seteuid(uid)


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    assert "/t.ini  found the suffix '.ini', expected a file name that ends in .yaml, .yml, .toml or .json" == (
        only_complaint(tmp_path / "t.ini")
    )
    assert "/tree  found no suffix, expected a file name that ends in .yaml, .yml, .toml or .json" == (
        only_complaint(tmp_path / "tree")
    )


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "  found nothing, expected a mapping with version, name and children"),
        (b"version: 1\nname: \xff\n", ":2  found the byte 0xff, which is not UTF-8, expected text in UTF-8"),
        ("version: 1".encode("utf-16"), "  found binary data, expected text in UTF-8"),
        (b"\x7fELF\x00\x00", "  found binary data, expected text in UTF-8"),
        (b"a" * (16 * 1024 * 1024 + 1), "  found more than 16777216 bytes, expected a definition of ordinary size"),
    ],
    ids=["empty", "latin-1", "utf-16", "elf", "huge"],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, complaint: str) -> None:
    (tmp_path / "t.yaml").write_bytes(data)

    assert f"/t.yaml{complaint}" == only_complaint(tmp_path / "t.yaml")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(b'\xef\xbb\xbf{"version": 1, "name": "d"}')

    assert load_definition(str(tmp_path / "t.json")).name == "d"


BOMB = "version: 1\nname: dev\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "notation", "complaints"),
    [
        (
            "version: 1\nname: [dev\nchildren: []\n",
            Format.YAML,
            [
                (
                    "tree.yaml:3  found a mistake in the YAML: while parsing a flow sequence, expected ',' or ']',"
                    " but got ':', expected YAML 1.2"
                )
            ],
        ),
        (
            "version: 1\n\tname: dev\n",
            Format.YAML,
            [
                (
                    "tree.yaml:2  found a mistake in the YAML: while scanning for the next token,"
                    " found character '\\t' that cannot start any token, expected YAML 1.2"
                )
            ],
        ),
        (
            "version: 1\nname: dev\nname: prod\n",
            Format.YAML,
            ["tree.yaml:2  name: found the key again on line 3, expected it once (line 2 has it)"],
        ),
        (
            "version: 1\nname: dev\n2: x\n",
            Format.YAML,
            [
                "tree.yaml:3  ['2']: found the key 2, which is no text, expected it in quotes: '2'",
                (
                    "tree.yaml:3  ['2']: found an unknown key,"
                    " expected one of version, name, strategy, intensity, auto_shutdown, children"
                ),
            ],
        ),
        (
            "version: 1\nname: !!python/object/apply:os.getcwd []\n",
            Format.YAML,
            [
                (
                    "tree.yaml:2  name: found the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd',"
                    " expected a plain value without a tag"
                ),
                (
                    "tree.yaml:2  name: found an empty list, expected 1 to 64 of letters, digits, '_', '-' and '.',"
                    " beginning with a letter or digit"
                ),
            ],
        ),
        (
            "version: 1\n---\nversion: 1\n",
            Format.YAML,
            ["tree.yaml:2  found a second YAML document, expected one document in a file"],
        ),
        ("? [a]\n: b\n", Format.YAML, ["tree.yaml:1  found a list as a key, expected text as a key"]),
        (
            "a: *nowhere\n",
            Format.YAML,
            ["tree.yaml:1  found the alias *nowhere, expected an anchor &nowhere that is complete before it is used"],
        ),
        (
            "a: &a [*a]\n",
            Format.YAML,
            ["tree.yaml:1  found the alias *a, expected an anchor &a that is complete before it is used"],
        ),
        (
            BOMB,
            Format.YAML,
            ["tree.yaml:8  found more than 200000 values, aliases counted in full, expected a tree of ordinary size"],
        ),
        ("[" * 10_000, Format.YAML, ["tree.yaml:1  found values nested too deep, expected at most 64 levels"]),
        (
            '{"version": 1,\n "name": dev}',
            Format.JSON,
            ["tree.json:2  found a mistake in the JSON: Expecting value (column 10), expected JSON (RFC 8259)"],
        ),
        (
            '{"version": 1,\n"name": "dev",\n"name": "dev"}',
            Format.JSON,
            ["tree.json:2  name: found the key again on line 3, expected it once (line 2 has it)"],
        ),
        (
            '{"version": NaN}',
            Format.JSON,
            [
                (
                    "tree.json  found a number that cannot be read (NaN is no JSON number),"
                    " expected numbers as in RFC 8259, section 6"
                )
            ],
        ),
        ("[" * 100_000, Format.JSON, ["tree.json  found values nested too deep to read, expected at most 64 levels"]),
        (
            "[" * 65 + "]" * 65,
            Format.JSON,
            ["tree.json:1  found values nested too deep, expected at most 64 levels"],
        ),
        (
            "version = 1\nname = dev\n",
            Format.TOML,
            ["tree.toml:2  found a mistake in the TOML: Invalid value, expected TOML 1.0"],
        ),
        (
            "version = 1\nversion = 1\n",
            Format.TOML,
            ["tree.toml:2  found a mistake in the TOML: Cannot overwrite a value, expected TOML 1.0"],
        ),
        (
            "a = " + "[" * 65 + "]" * 65,
            Format.TOML,
            ["tree.toml  found values nested too deep, expected at most 64 levels"],
        ),
    ],
)
def test_text_that_breaks_its_notation_is_refused(
    complain: Complain, text: str, notation: Format, complaints: list[str]
) -> None:
    assert complaints == complain(text, notation)


def test_more_values_than_anyone_writes_are_refused_in_json_and_toml(complain: Complain) -> None:
    many = json.dumps(list(range(200_001)))

    assert ["tree.json:1  found more than 200000 values, expected a tree of ordinary size"] == complain(
        many, Format.JSON
    )
    assert ["tree.toml  found more than 200000 values, expected a tree of ordinary size"] == complain(
        f"a = {many}", Format.TOML
    )


def test_the_lines_of_toml_are_those_of_its_statements(complain: Complain) -> None:
    text = '''\
        version = 1
        name = "dev"
        # [[children]]
        [[children]]
        id = "a"
        kind = "process"
        command = [
          "sh", # ]
          """
        [[children]]
        """,
          7,
        ]
        [children."env"]
        X.Y = 1
        [[children]]
        id = "b"
        kind = "supervisor"
        [[children.children]]
        id = "c"
        kind = "lease"
        '''

    assert [
        'tree.toml:7  children[0].command[2]: found 7, expected text; write a number in quotes: "7"',
        "tree.toml:15  children[0].env.X: found a mapping, expected text, a number or {from_env: NAME}",
        "tree.toml:21  children[1].children[0].kind: found 'lease', expected one of process, supervisor, actor",
    ] == complain(text, Format.TOML)


def test_a_date_in_toml_is_described_as_one(complain: Complain) -> None:
    assert [
        (
            "tree.toml:2  name: found 2024-01-01 (a date), expected 1 to 64 of letters, digits, '_', '-' and '.',"
            " beginning with a letter or digit"
        )
    ] == complain("version = 1\nname = 2024-01-01\n", Format.TOML)


def test_a_relative_working_directory_begins_at_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a tree is the same, and its processes are adopted, wherever the runtime is started from."""
    (tmp_path / "here" / "below").mkdir(parents=True)
    file = tmp_path / "here" / "tree.yaml"
    children = [
        f"  - {{id: p{n}, kind: process, command: [sh], cwd: {cwd}}}" for n, cwd in enumerate((".", "below", "/"))
    ]
    file.write_text("\n".join(["version: 1", "name: dev", "children:", *children]))
    monkeypatch.chdir(tmp_path)

    definition = load_definition("here/tree.yaml")

    plans = [child.plan for child in definition.root.children if isinstance(child, ProcessNode)]
    found = [plan.cwd for plan in plans if isinstance(plan, ProcessSpec)]
    assert [str(tmp_path / "here"), str(tmp_path / "here" / "below"), "/"] == found


def test_one_folder_gives_equal_definitions_however_it_is_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `apply ../dev/tree.yaml` would restart every process that `up tree.yaml` started."""
    for folder in ("dev", "other", "elsewhere/deep"):
        (tmp_path / folder).mkdir(parents=True)
    text = "{version: 1, name: dev, children: [{id: a, kind: process, command: [sh]}]}"
    (tmp_path / "dev" / "tree.yaml").write_text(text)
    (tmp_path / "elsewhere" / "tree.yaml").write_text(text)
    (tmp_path / "other" / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    monkeypatch.chdir(tmp_path / "other")

    spelt = load_definition("../dev/tree.yaml")
    behind_a_link = load_definition("link/../tree.yaml")

    assert spelt.root == load_definition(tmp_path / "dev" / "tree.yaml").root
    assert behind_a_link.root != spelt.root
    assert Path(cwd_of(behind_a_link)).samefile(tmp_path / "elsewhere")


def cwd_of(definition: TreeDefinition) -> str:
    (child,) = definition.root.children
    assert isinstance(child, ProcessNode)
    assert isinstance(child.plan, ProcessSpec)
    return child.plan.cwd


def test_a_text_without_a_format_is_in_the_notation_of_its_source() -> None:
    text = '{"version": 1, "name": "dev"}'

    assert "dev" == parse_definition(text, source=Path("tree.json")).name
    with pytest.raises(DefinitionErrors, match=r"no suffix, expected a file name that ends in \.yaml"):
        parse_definition(text, source=None)
