"""What people read: one printable line, and no secret."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis.strategies import binary, sampled_from, text

from treewarden.actors.probes import CommandProbe, HttpProbe, TcpProbe
from treewarden.actors.probes._wording import LINE_LIMIT, describe_probe, describe_url, last_line, one_line


@pytest.mark.parametrize(
    ("probe", "name"),
    [
        (HttpProbe("http://127.0.0.1:8000/health"), "GET http://127.0.0.1:8000/health"),
        (HttpProbe("http://[::1]:8000/"), "GET http://[::1]:8000/"),
        (TcpProbe("db.example", 5432), "connect db.example:5432"),
        (TcpProbe("::1", 5432), "connect [::1]:5432"),
        (CommandProbe(("pg_isready", "--password=hunter2")), "command pg_isready"),
    ],
)
def test_a_probe_is_named_by_what_it_does(probe: HttpProbe | TcpProbe | CommandProbe, name: str) -> None:
    assert name == describe_probe(probe)


@given(
    secret=text(min_size=1).map(lambda letters: f"s3cret{letters}"),
    shape=sampled_from(
        ["http://anna:{}@host:80/x", "https://{}@host/", "http://host/?token={}", "http://host/#{}", "anna:{}@host/"]
    ),
)
def test_no_secret_of_a_url_is_shown(secret: str, shape: str) -> None:
    shown = describe_url(shape.format(quote(secret, safe="")))

    assert "s3cret" not in shown


@given(raw=text())
def test_any_text_is_described_as_one_printable_line(raw: str) -> None:
    shown = describe_url(raw)

    assert shown.isprintable()
    assert len(shown) <= LINE_LIMIT + len("?...")


@given(output=binary())
def test_any_output_ends_in_one_printable_line(output: bytes) -> None:
    line = last_line(output)

    assert line.isprintable()
    assert len(line) <= LINE_LIMIT


def test_the_last_line_is_the_last_one_that_shows_anything() -> None:
    assert last_line(b"one\ntwo\n \r\n\x00\n") == "two"


def test_a_long_text_is_cut_and_shows_that() -> None:
    assert one_line("a" * 1000) == "a" * (LINE_LIMIT - 3) + "..."
    assert one_line("a" * LINE_LIMIT) == "a" * LINE_LIMIT
