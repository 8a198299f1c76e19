"""Every mistake has its own line: where it is, what was found, what would be right."""

import textwrap
from collections.abc import Callable

import pytest

from treewarden.supervision_trees.definitions import Format

Complain = Callable[..., list[str]]

HEAD = "version: 1\nname: dev\nchildren:\n"

ID = "1 to 64 of letters, digits, '_', '-' and '.', beginning with a letter or digit"
DURATION = "a duration such as 250ms, 5s, 10m, 2h or 1d"
PROCESS_KEYS = (
    "id, restart, significant, needs, backoff, shutdown, start_timeout, intensity, kind, command, shell, cwd, env, ports,"
    " ready, live, success_codes"
)
COMMAND = "a list such as [python3, -m, http.server], or text together with shell: true"
REFERENCE = "a reference such as ${api.pid}, or $${ for a literal ${"
TARGET = '"host:port" with a port from 1 to 65535, such as 127.0.0.1:8000 or [::1]:8000'
URL = "a URL such as http://127.0.0.1:8000/health"

# Each: one field of a process that is right otherwise, and the one complaint about it.
FIELDS = [
    ("restart: permament", "restart: found 'permament', expected one of permanent, transient, temporary"),
    ("restart: [permanent]", "restart: found a list, expected one of permanent, transient, temporary"),
    ("restart: null", "restart: found null, expected one of permanent, transient, temporary"),
    ("shutdown: 5", f"shutdown: found 5, expected {DURATION}, infinity or brutal_kill; a bare number has no unit"),
    ("shutdown: 5 s", f"shutdown: found '5 s', expected {DURATION}, infinity or brutal_kill"),
    ("shutdown: -5s", f"shutdown: found '-5s', expected {DURATION}, infinity or brutal_kill"),
    ("shutdown: 36501d", "shutdown: found '36501d', expected a duration of at most 36500d"),
    ("start_timeout: 0s", f"start_timeout: found '0s', expected {DURATION}, above 0, or infinity"),
    ("start_timeout: brutal_kill", f"start_timeout: found 'brutal_kill', expected {DURATION}, above 0, or infinity"),
    ("needs: db", "needs: found 'db', expected a list of sibling ids"),
    ("needs: [3]", 'needs[0]: found 3, expected text; write a number in quotes: "3"'),
    ("needs: [db]", "needs[0]: found 'db', expected nothing: it has no siblings"),
    ("needs: [api]", "needs[0]: found 'api' itself, expected siblings only"),
    ("backoff: 5s", "backoff: found '5s', expected a mapping such as {initial: 200ms, max: 30s}"),
    ("backoff: {initial: 5s, max: 1s}", "backoff.max: found 1s, expected at least initial, which is 5s"),
    ("backoff: {factor: 0.5}", "backoff.factor: found 0.5, expected a number from 1 to 1000000"),
    ("backoff: {factor: .nan}", "backoff.factor: found nan, expected a number from 1 to 1000000"),
    ("backoff: {jitter: 2}", "backoff.jitter: found 2, expected a fraction from 0 to 1"),
    ("backoff: {reset_after: 0s}", f"backoff.reset_after: found '0s', expected {DURATION}, above 0"),
    ("intensity: {restarts: -1}", "intensity.restarts: found -1, expected a whole number from 0 to 1000000"),
    ("intensity: {restarts: true}", "intensity.restarts: found true, expected a whole number from 0 to 1000000"),
    ("intensity: {within: 0s}", f"intensity.within: found '0s', expected {DURATION}, above 0"),
    (
        "intensity: {restart: 1}",
        "intensity.restart: found an unknown key, expected restarts (the keys here: restarts, within)",
    ),
    ("shell: yes", "shell: found 'yes', expected true or false"),
    ("cwd: ''", "cwd: found '', expected a directory"),
    ("cwd: 3", 'cwd: found 3, expected text; write a number in quotes: "3"'),
    (
        "cwd: /no/such/place",
        (
            "cwd: found '/no/such/place', which cannot be used (No such file or directory),"
            " expected a directory that exists"
        ),
    ),
    ("cwd: /dev/null", "cwd: found '/dev/null', which is no directory, expected a directory that exists"),
    ("env: [A]", "env: found a list, expected a mapping of variables"),
    (
        "env: {A: true}",
        'env.A: found true, expected text, a number or {from_env: NAME}; write a word in quotes: "true"',
    ),
    ("env: {A: null}", "env.A: found null, expected text, a number or {from_env: NAME}"),
    ("env: {A: {from: B}}", "env.A: found a mapping, expected text, a number or {from_env: NAME}"),
    (
        'env: {"A=B": x}',
        "env['A=B']: found 'A=B', expected a variable's name: letters, digits and _, not beginning with a digit",
    ),
    (
        "env: {A: {from_env: TW_TEST_UNSET}}",
        (
            "env.A: found from_env: TW_TEST_UNSET, which is not set,"
            " expected the variable TW_TEST_UNSET in the environment of the runtime"
        ),
    ),
    (
        'env: {A: "\\0"}',
        "env.A: found '\\x00', expected text that the system can take: no NUL character, no lone surrogate",
    ),
    ("ports: 80", "ports: found 80, expected a list of ports"),
    ("ports: [0]", "ports[0]: found 0, expected a port: a whole number from 1 to 65535"),
    ("ports: [65536]", "ports[0]: found 65536, expected a port: a whole number from 1 to 65535"),
    ("ports: ['80']", "ports[0]: found '80', expected a port: a whole number from 1 to 65535"),
    ("ports: [80, 80]", "ports[1]: found 80, which children[0].ports[0] has already, expected a port of its own"),
    ("success_codes: [256]", "success_codes[0]: found 256, expected an exit code: a whole number from 0 to 255"),
    ("ready: 5s", "ready: found '5s', expected a mapping such as {tcp: \"127.0.0.1:8000\"}"),
    ("ready: {}", "ready: found no target, expected exactly one of http, tcp, command"),
    ("ready: {tcp: 'a:1', command: [sh]}", "ready: found tcp and command, expected exactly one of http, tcp, command"),
    ("ready: {tcp: 'a:1', status: 200}", "ready.status: found it without http, expected status only beside http"),
    (
        "ready: {http: 'http://h/', status: 99}",
        "ready.status: found 99, expected an HTTP status: a whole number from 100 to 599",
    ),
    ("ready: {http: localhost}", f"ready.http: found 'localhost', expected {URL}"),
    ("ready: {http: 'http://h:99999/'}", f"ready.http: found 'http://h:99999/', expected {URL}"),
    ("ready: {http: 'ftp://h/'}", f"ready.http: found 'ftp://h/', expected {URL}"),
    ("ready: {http: 'http://h/ x'}", f"ready.http: found 'http://h/ x', expected {URL}"),
    ("ready: {tcp: localhost}", f"ready.tcp: found 'localhost', expected {TARGET}"),
    ("ready: {tcp: 'localhost:0'}", f"ready.tcp: found 'localhost:0', expected {TARGET}"),
    ("ready: {tcp: '::1:80'}", f"ready.tcp: found '::1:80', expected {TARGET}"),
    ("ready: {command: test}", "ready.command: found 'test', expected a list such as [test, -e, /tmp/ready]"),
    ("ready: {command: []}", "ready.command: found an empty list, expected a list such as [test, -e, /tmp/ready]"),
    ("ready: {command: ['']}", "ready.command: found '', expected the name of a program"),
    (
        "ready: {command: [/no/such/program]}",
        "ready.command[0]: found the program '/no/such/program', which is not there, expected an executable file at that path",
    ),
    ("ready: {tcp: 'a:1', every: 0s}", f"ready.every: found '0s', expected {DURATION}, above 0"),
    (
        "ready: {tcp: 'a:1', failures: 3}",
        "ready.failures: found an unknown key, expected one of http, status, tcp, command, every, timeout, within",
    ),
    ("live: {tcp: 'a:1', failures: 0}", "live.failures: found 0, expected a whole number from 1 to 1000000"),
    (
        "live: {tcp: 'a:1', within: 5s}",
        "live.within: found an unknown key, expected one of http, status, tcp, command, every, timeout, failures",
    ),
    ("ttl: 4h", f"ttl: found an unknown key, expected one of {PROCESS_KEYS}"),
    ("significant: yes", "significant: found 'yes', expected true or false"),
    ("log: {keep: 3}", f"log: found an unknown key, expected one of {PROCESS_KEYS}"),
    ("<<: {cwd: /}", f"['<<']: found an unknown key, expected one of {PROCESS_KEYS}"),
    ("comand: x", f"comand: found an unknown key, expected command (the keys here: {PROCESS_KEYS})"),
    ("env: {A: '${zz.pid}'}", "env.A: found ${zz.pid}, expected a sibling or a sibling of an ancestor: api"),
    ("env: {A: '${HOME}'}", f"env.A: found '${{HOME}}', expected {REFERENCE}"),
    ("env: {A: '${api.pid'}", f"env.A: found '${{', expected {REFERENCE}"),
    (
        "env: {A: '${api.pid}'}",
        "env.A: found ${api.pid}, which is known only after this process has started, expected another child",
    ),
    ("env: {A: '${api.port}'}", "env.A: found ${api.port}, expected a field that a process offers: pid, log"),
]


@pytest.mark.parametrize(("field", "complaint"), FIELDS, ids=[field for field, _ in FIELDS])
def test_a_wrong_field_of_a_process_is_the_only_complaint(
    complain: Complain, monkeypatch: pytest.MonkeyPatch, field: str, complaint: str
) -> None:
    monkeypatch.delenv("TW_TEST_UNSET", raising=False)
    text = f"{HEAD}  - id: api\n    kind: process\n    command: [sh]\n    {field}\n"

    separator = "" if complaint.startswith("[") else "."
    assert [f"tree.yaml:7  children[0]{separator}{complaint}"] == complain(text)


COMMANDS = [
    ("command: []", f"children[0].command: found an empty list, expected {COMMAND}"),
    ("command: 5", f"children[0].command: found 5, expected {COMMAND}"),
    (
        "command: ls -l",
        "children[0].command: found 'ls -l', expected a list such as [python3, -m, http.server], or shell: true",
    ),
    (
        "command: [ls]\n    shell: true",
        "children[0].command: found a list, expected text for the shell, or no shell: true",
    ),
    ("command: ['']", "children[0].command: found '', expected the name of a program"),
    ("command: [python3, 8000]", 'children[0].command[1]: found 8000, expected text; write a number in quotes: "8000"'),
    (
        "command: [no-such-program-tw]\n    env: {PATH: /no/bin}",
        "children[0].command[0]: found the program 'no-such-program-tw', which is not there, expected an executable file of that name in /no/bin",
    ),
    (
        "command: [./passwd]\n    cwd: /etc",
        (
            "children[0].command[0]: found the program '/etc/passwd', a file without execute permission,"
            " expected a regular file that may be executed"
        ),
    ),
    ("cwd: /", f"children[0].command: found nothing, expected {COMMAND}"),
]


@pytest.mark.parametrize(("fields", "complaint"), COMMANDS, ids=[fields for fields, _ in COMMANDS])
def test_a_wrong_command_is_the_only_complaint(complain: Complain, fields: str, complaint: str) -> None:
    line = 4 if "found nothing" in complaint else 6

    assert [f"tree.yaml:{line}  {complaint}"] == complain(f"{HEAD}  - id: api\n    kind: process\n    {fields}\n")


TREES = [
    ("", ["tree.yaml  found nothing, expected a mapping with version, name and children"]),
    ("# nothing\n", ["tree.yaml  found nothing, expected a mapping with version, name and children"]),
    ("hello", ["tree.yaml:1  found 'hello', expected a mapping with version, name and children"]),
    ("- 1", ["tree.yaml:1  found a list, expected a mapping with version, name and children"]),
    (
        "{}",
        [
            "tree.yaml:1  version: found nothing, expected 1, the version of this format",
            f"tree.yaml:1  name: found nothing, expected a name for the tree: {ID}",
        ],
    ),
    ("version: 2\nname: dev", ["tree.yaml:1  version: found 2, expected 1, the only version of this format"]),
    ("version: '1'\nname: dev", ["tree.yaml:1  version: found '1', expected 1, the only version of this format"]),
    ("version: true\nname: dev", ["tree.yaml:1  version: found true, expected 1, the only version of this format"]),
    ("version: 1\nname: a b", [f"tree.yaml:2  name: found 'a b', expected {ID}"]),
    (
        "version: 1\nname: dev\nstrategy: simple_one_for_one\nauto_shutdown: any",
        [
            "tree.yaml:3  strategy: found 'simple_one_for_one', expected one of one_for_one, one_for_all, rest_for_one",
            "tree.yaml:4  auto_shutdown: found 'any', expected one of never, any_significant, all_significant",
        ],
    ),
    (
        HEAD + "  - {id: a, kind: process, command: [sh], significant: true}\n"
        "  - {id: b, kind: process, command: [sh], significant: true, restart: transient}\n"
        "  - id: g\n    kind: supervisor\n    auto_shutdown: all_significant\n    restart: transient\n    children:\n"
        "      - {id: c, kind: process, command: [sh], significant: true}\n"
        "      - {id: d, kind: process, command: [sh], significant: true, restart: temporary}",
        [
            (
                "tree.yaml:4  children[0].significant: found true beside restart: permanent, expected false,"
                " or restart: transient or temporary; a permanent child never ends for good"
            ),
            (
                "tree.yaml:4  children[0].significant: found true, but auto_shutdown of /dev is never,"
                " expected false, or one of any_significant, all_significant as auto_shutdown of /dev"
            ),
            (
                "tree.yaml:5  children[1].significant: found true, but auto_shutdown of /dev is never,"
                " expected false, or one of any_significant, all_significant as auto_shutdown of /dev"
            ),
            (
                "tree.yaml:11  children[2].children[0].significant: found true beside restart: permanent, expected false,"
                " or restart: transient or temporary; a permanent child never ends for good"
            ),
        ],
    ),
    (
        "version: 1\nname: dev\nauto_shutdown: sometimes\n" + "children:\n"
        "  - {id: a, kind: process, command: [sh], restart: transient, significant: true}",
        ["tree.yaml:3  auto_shutdown: found 'sometimes', expected one of never, any_significant, all_significant"],
    ),
    (
        "version: 1\nname: dev\nstrategy: rest_for_one\n" + "children:\n"
        "  - {id: a, kind: process, command: [sh], intensity: {restarts: 1}}\n"
        "  - id: g\n    kind: supervisor\n    intensity: {restarts: 1}\n    children:\n"
        "      - {id: b, kind: process, command: [sh], intensity: {restarts: 1}}",
        [
            (
                "tree.yaml:5  children[0].intensity: found a limit of its own, but the strategy of /dev is rest_for_one,"
                " expected none, or one_for_one as strategy of /dev"
            )
        ],
    ),
    (
        "version: 1\nname: dev\nchilden: []",
        [
            (
                "tree.yaml:3  childen: found an unknown key, expected children"
                " (the keys here: version, name, strategy, intensity, auto_shutdown, children)"
            )
        ],
    ),
    (
        "version: 1\nname: dev\nchildren: {}",
        ["tree.yaml:3  children: found an empty mapping, expected a list of children"],
    ),
    (HEAD + "  - 5", ["tree.yaml:4  children[0]: found 5, expected a mapping with id and kind"]),
    (
        HEAD + "  - kind: lease",
        [
            f"tree.yaml:4  children[0].id: found nothing, expected an id: {ID}",
            "tree.yaml:4  children[0].kind: found 'lease', expected one of process, supervisor, actor",
        ],
    ),
    (
        HEAD + "  - {id: a, command: [sh]}",
        ["tree.yaml:4  children[0].kind: found nothing, expected one of process, supervisor, actor"],
    ),
    (
        HEAD + "  - {id: a, kind: process, command: [sh]}\n  - {id: a, kind: process, command: [sh]}",
        [
            "tree.yaml:5  children[1].id: found 'a', which children[0] has already, expected an id of its own among its siblings"
        ],
    ),
    (
        HEAD + "  - {id: 'a/b', kind: process, command: [sh]}",
        [f"tree.yaml:4  children[0].id: found 'a/b', expected {ID}"],
    ),
    (
        HEAD + "  - {id: a, kind: process, command: [sh], needs: [bb]}\n  - {id: bbb, kind: supervisor}",
        ["tree.yaml:4  children[0].needs[0]: found 'bb', expected bbb (the siblings: bbb)"],
    ),
    (
        HEAD
        + "  - {id: a, kind: process, command: [sh], needs: [x]}\n  - {id: bbb, kind: supervisor}\n  - {id: c, kind: supervisor}",
        ["tree.yaml:4  children[0].needs[0]: found 'x', expected a sibling: one of bbb, c"],
    ),
    (
        HEAD + "  - {id: a, kind: supervisor, needs: [b]}\n  - {id: b, kind: supervisor, needs: [c]}\n"
        "  - {id: c, kind: supervisor, needs: [a]}\n  - {id: d, kind: supervisor, needs: [c]}",
        [
            (
                "tree.yaml:4  children[0].needs: found the cycle a -> b -> c -> a,"
                " expected no child that waits for itself, by needs or by references"
            )
        ],
    ),
    (
        HEAD + "  - {id: a, kind: process, command: [sh, '${b.pid}']}\n  - {id: b, kind: supervisor, needs: [a]}",
        [
            (
                "tree.yaml:4  children[0]: found the cycle a -> b -> a,"
                " expected no child that waits for itself, by needs or by references"
            ),
            "tree.yaml:4  children[0].command[1]: found ${b.pid}, expected a field that a supervisor offers: nothing",
        ],
    ),
    (
        HEAD + "  - id: g\n    kind: supervisor\n    children:\n"
        "      - {id: x, kind: process, command: [sh, '${late.pid}']}\n"
        "  - {id: late, kind: process, command: [sh], needs: [g]}",
        [
            (
                "tree.yaml:4  children[0]: found the cycle g -> late -> g,"
                " expected no child that waits for itself, by needs or by references"
            ),
        ],
    ),
    (
        HEAD + "  - id: g\n    kind: supervisor\n    shutdown: 7s\n    children:\n"
        "      - {id: x, kind: process, command: [sh]}\n"
        "      - {id: y, kind: process, command: [sh], shutdown: 2500ms}\n"
        "      - {id: z, kind: process, command: [sh], shutdown: brutal_kill}",
        [
            (
                "tree.yaml:6  children[0].shutdown: found 7s, expected 7500ms or more,"
                " since its children stop one after another (x 5s, y 2500ms, z brutal_kill)"
            )
        ],
    ),
    (
        HEAD
        + "  - id: g\n    kind: supervisor\n    shutdown: brutal_kill\n    children:\n      - {id: s, kind: supervisor}",
        [
            (
                "tree.yaml:6  children[0].shutdown: found brutal_kill, expected infinity,"
                " since its children stop one after another (s infinity)"
            )
        ],
    ),
    (
        HEAD + "  - {id: a, kind: supervisor, children: [{id: x, kind: process, command: [sh], ports: [80]}]}\n"
        "  - {id: b, kind: process, command: [sh], ports: [80]}",
        [
            "tree.yaml:4  children[0].children[0].ports[0]: found 80, which children[1].ports[0] has already, expected a port of its own"
        ],
    ),
    (
        HEAD + "  - {id: a, kind: supervisor, command: [sh]}",
        [
            (
                "tree.yaml:4  children[0].command: found an unknown key, expected one of"
                " id, restart, significant, needs, backoff, kind, strategy, intensity, auto_shutdown, shutdown,"
                " start_timeout, children"
            )
        ],
    ),
]


@pytest.mark.parametrize(("text", "complaints"), TREES)
def test_a_wrong_tree_has_exactly_these_complaints(complain: Complain, text: str, complaints: list[str]) -> None:
    assert complaints == complain(text)


ACTORS = [
    ("class: Counter", "class: found 'Counter', expected an actor class as \"module:Name\""),
    (
        "class: no_such_module_tw:Counter",
        (
            "class: found 'no_such_module_tw:Counter', whose module failed to import"
            " (ModuleNotFoundError: No module named 'no_such_module_tw'), expected a module on sys.path that imports"
        ),
    ),
    ("class: {M}:Conter", "class: found '{M}:Conter', but there is no Conter in that module, expected {M}:Counter"),
    (
        "class: {M}:NotAnActor",
        "class: found '{M}:NotAnActor', a class that is no Actor, expected a subclass of treewarden.actors.Actor",
    ),
    (
        "class: {M}:A_VALUE",
        "class: found '{M}:A_VALUE', a value of type int, expected a subclass of treewarden.actors.Actor",
    ),
    ("class: {M}:Counter\n    args: [1]", "args: found a list, expected a mapping of keyword arguments"),
    (
        "class: {M}:Counter\n    args: {strat: 1}",
        (
            "args: found arguments that do not fit (got an unexpected keyword argument 'strat'),"
            " expected those of Counter: start, id, steps"
        ),
    ),
    (
        "class: {M}:Counter\n    args: {id: 'x ${counter.pid}'}",
        (
            "args.id: found '${counter.pid}', expected plain text ($${ for a literal ${):"
            " only command, cwd, env and probes of a process hold references"
        ),
    ),
    (
        "class: {M}:Counter\n    cwd: /",
        (
            "cwd: found an unknown key, expected one of"
            " id, restart, significant, needs, backoff, shutdown, start_timeout, intensity, kind, class, args"
        ),
    ),
]


@pytest.mark.parametrize(("fields", "complaint"), ACTORS, ids=[fields for fields, _ in ACTORS])
def test_a_wrong_actor_has_exactly_this_complaint(
    complain: Complain, counter: str, fields: str, complaint: str
) -> None:
    name = counter.partition(":")[0]
    line = 7 if "\n" in fields else 6
    text = f"{HEAD}  - id: counter\n    kind: actor\n    {fields.replace('{M}', name)}\n"

    assert [f"tree.yaml:{line}  children[0].{complaint.replace('{M}', name)}"] == complain(text)


@pytest.mark.parametrize(
    ("statement", "quoted"),
    [
        ("raise RuntimeError('no\\ndatabase')", "RuntimeError: no database"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError: invalid syntax"),
    ],
)
def test_whatever_an_actors_module_raises_is_quoted(
    complain: Complain, module: Callable[[str, str], str], statement: str, quoted: str
) -> None:
    name = module("tests_of_definitions_broken", statement)

    (line,) = complain(f"{HEAD}  - {{id: a, kind: actor, class: '{name}:A'}}")
    assert f"found '{name}:A', whose module failed to import ({quoted}" in line


def test_all_mistakes_of_a_file_come_at_once_and_in_the_order_of_its_lines(complain: Complain) -> None:
    text = """\
        version: 2
        name: dev
        children:
          - id: api
            kind: proces
            command: [python3]
            restart: permament
            needs: [web, zz]
          - id: web
            kind: process
            command: [no-such-program-tw]
            env: {DEBUG: true, PATH: /no/bin}
            needs: [api]
            ttl: 4h
          - id: web
            kind: process
            shell: true
            cwd: /no/such/place
            command: echo ${HOME}
            ports: [99999]
            shutdown: 5
          - id: group
            kind: supervisor
            shutdown: 1s
            children:
              - {id: p, kind: process, command: [sh, "${q.pid}"]}
              - {id: q, kind: process, command: [sh, "${p.log}"]}
              - {id: r, kind: lease, ttl: 4h}
        """

    assert [
        "tree.yaml:1  version: found 2, expected 1, the only version of this format",
        "tree.yaml:5  children[0].kind: found 'proces', expected one of process, supervisor, actor",
        "tree.yaml:7  children[0].restart: found 'permament', expected one of permanent, transient, temporary",
        "tree.yaml:8  children[0].needs[1]: found 'zz', expected a sibling: one of web, group",
        (
            "tree.yaml:8  children[0].needs: found the cycle api -> web -> api,"
            " expected no child that waits for itself, by needs or by references"
        ),
        (
            "tree.yaml:11  children[1].command[0]: found the program 'no-such-program-tw', which is not there,"
            " expected an executable file of that name in /no/bin"
        ),
        (
            "tree.yaml:12  children[1].env.DEBUG: found true, expected text, a number or {from_env: NAME};"
            ' write a word in quotes: "true"'
        ),
        f"tree.yaml:14  children[1].ttl: found an unknown key, expected one of {PROCESS_KEYS}",
        (
            "tree.yaml:15  children[2].id: found 'web', which children[1] has already,"
            " expected an id of its own among its siblings"
        ),
        (
            "tree.yaml:18  children[2].cwd: found '/no/such/place', which cannot be used (No such file or directory),"
            " expected a directory that exists"
        ),
        f"tree.yaml:19  children[2].command: found '${{HOME}}', expected {REFERENCE}",
        "tree.yaml:20  children[2].ports[0]: found 99999, expected a port: a whole number from 1 to 65535",
        (
            f"tree.yaml:21  children[2].shutdown: found 5, expected {DURATION}, infinity or brutal_kill;"
            " a bare number has no unit"
        ),
        (
            "tree.yaml:24  children[3].shutdown: found 1s, expected 15s or more,"
            " since its children stop one after another (p 5s, q 5s, r 5s)"
        ),
        (
            "tree.yaml:26  children[3].children[0]: found the cycle p -> q -> p,"
            " expected no child that waits for itself, by needs or by references"
        ),
        "tree.yaml:28  children[3].children[2].kind: found 'lease', expected one of process, supervisor, actor",
    ] == complain(text)


def test_what_only_follows_from_a_mistake_is_not_complained_about(complain: Complain) -> None:
    """`b` is the id that was meant: that nobody is called so now is no second mistake."""
    text = f"""{HEAD}
  - {{id: a, kind: process, command: [sh, "${{b.pid}}"], needs: [b]}}
  - {{id: "b b", kind: process, command: [sh]}}
"""

    assert [f"tree.yaml:6  children[1].id: found 'b b', expected {ID}"] == complain(text)


def test_very_many_siblings_are_not_all_listed(complain: Complain) -> None:
    siblings = "".join(f"  - {{id: s{number}, kind: supervisor}}\n" for number in range(600))

    (line,) = complain(f"{HEAD}{siblings}  - {{id: a, kind: supervisor, needs: [nobody]}}\n")
    assert line.endswith("s22, s23 and 576 more")


def test_the_same_mistakes_are_found_in_toml_and_json(complain: Complain) -> None:
    toml = 'version = 2\nname = "dev"\n\n[[children]]\nid = "a"\nkind = "process"\ncommand = ["sh"]\nrestart = "no"\n'
    json = '{\n  "version": 2,\n  "name": "dev",\n  "children": [\n    {"id": "a", "kind": "process",\n     "command": ["sh"],\n     "restart": "no"}\n  ]\n}'
    version = "version: found 2, expected 1, the only version of this format"
    restart = "children[0].restart: found 'no', expected one of permanent, transient, temporary"

    assert [f"tree.toml:1  {version}", f"tree.toml:8  {restart}"] == complain(toml, Format.TOML)
    assert [f"tree.json:2  {version}", f"tree.json:7  {restart}"] == complain(json, Format.JSON)


def test_a_complaint_stays_on_one_line_whatever_was_found(complain: Complain) -> None:
    text = textwrap.dedent('version: 1\nname: "a\\nb\\u2028c"\n"k\\ney": 1\n')

    assert [
        f"tree.yaml:2  name: found 'a\\nb\\u2028c', expected {ID}",
        "tree.yaml:3  ['k\\ney']: found an unknown key, expected one of version, name, strategy, intensity, auto_shutdown, children",
    ] == complain(text)
