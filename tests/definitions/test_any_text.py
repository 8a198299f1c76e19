"""Whatever the text, the answer is a definition or complaints: no other exception, no hanging."""

import json
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from treewarden.supervision_trees.definitions import DefinitionErrors, Format, TreeDefinition, parse_definition

# What YAML and JSON both take as it is (YAML 1.2.2, 5.1).
PRINTABLE = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("\u00e4\u2603\U0001f333"), max_size=4
)
WORDS = st.sampled_from(
    [
        "a",
        "b",
        "process",
        "supervisor",
        "actor",
        "lease",
        "one_for_one",
        "permanent",
        "sh",
        "5s",
        "infinity",
        "brutal_kill",
        "${a.pid}",
        "${b.log}",
        "${",
        "$${",
        "json:JSONDecoder",
        "no_such_module:X",
        "a:1",
        "http://h/",
        "unnamed",
        "",
    ]
)
KEYS = st.sampled_from(
    [
        "version",
        "name",
        "strategy",
        "auto_shutdown",
        "significant",
        "intensity",
        "children",
        "id",
        "kind",
        "restart",
        "shutdown",
        "start_timeout",
        "needs",
        "backoff",
        "command",
        "shell",
        "cwd",
        "env",
        "ports",
        "ready",
        "live",
        "success_codes",
        "class",
        "args",
        "http",
        "status",
        "tcp",
        "every",
        "timeout",
        "within",
        "failures",
        "restarts",
        "initial",
        "max",
        "factor",
        "jitter",
        "reset_after",
        "from_env",
        "PATH",
        "<process>",
        "[key]",
        "ttl",
    ]
)
SCALARS = st.one_of(
    WORDS,
    st.none(),
    st.booleans(),
    st.integers(-2, 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    PRINTABLE,
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | PRINTABLE, inner, max_size=6),
    max_leaves=30,
)
CHILDREN = st.recursive(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["a", "b", "c", "d"]), "kind": st.sampled_from(["process", "supervisor"])},
        optional={"command": st.just(["sh", "${a.pid}"]), "needs": st.lists(st.sampled_from("abcd"), max_size=3)},
    )
    | st.dictionaries(KEYS, DATA, max_size=5),
    lambda inner: st.fixed_dictionaries(
        {"id": st.sampled_from(["a", "b"]), "kind": st.just("supervisor"), "children": st.lists(inner, max_size=4)},
        optional={"shutdown": WORDS},
    ),
    max_leaves=8,
)
TREES = st.fixed_dictionaries(
    {"version": st.just(1), "name": st.just("dev"), "children": st.lists(CHILDREN, max_size=5)}
)
YAMLISH = st.lists(
    st.sampled_from(
        [
            *"[]{}:,-?&*!|>'\"%#@`~\\ \n\t",
            "\n  ",
            "- ",
            ": ",
            "version: 1\n",
            "a",
            "1",
            "---\n",
            "<<: ",
            "&a ",
            "*a ",
            "!!",
            "%YAML 1.1\n",
            "\ufeff",
            "\x85",
            "\\U0011FFFF",
        ]
    )
).map("".join)


def answer(text: str, notation: Format) -> TreeDefinition | DefinitionErrors:
    try:
        return parse_definition(text, source=Path("tree"), format=notation)
    except DefinitionErrors as error:
        answered = error
    assert len(str(answered).splitlines()) == len(answered.complaints) > 0
    return answered


@given(st.text() | YAMLISH)
@example("\ud800")
@example('"\\ud800"')
@example("%YAML 9.9\n---\na")
@example("a: !<tag:yaml.org,2002:str> b")
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_definition_or_complaints(text: str) -> None:
    for notation in Format:
        answer(text, notation)


@given(DATA | TREES)
@settings(max_examples=150, deadline=None)
def test_any_json_is_a_definition_or_complaints_and_the_same_in_yaml(data: Any) -> None:
    text = json.dumps(data, ensure_ascii=False)
    as_json, as_yaml = answer(text, Format.JSON), answer(text, Format.YAML)

    if isinstance(as_json, DefinitionErrors):
        assert isinstance(as_yaml, DefinitionErrors)
        places = sorted(complaint.place for complaint in as_json.complaints)
        assert places == sorted(complaint.place for complaint in as_yaml.complaints)
    else:
        assert as_json == as_yaml


@given(TREES)
@settings(max_examples=50, deadline=None)
def test_reading_twice_gives_the_same_answer(data: Any) -> None:
    first, second = (answer(json.dumps(data, indent=1), Format.JSON) for _ in range(2))

    assert str(first) == str(second)
