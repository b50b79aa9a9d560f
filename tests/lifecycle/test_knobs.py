from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.knobs import (
    KNOBS,
    LOOPBACK,
    Address,
    Knob,
    KnobError,
    KnobTable,
    address,
    boolean,
    count,
    duration,
    networks,
    one_of,
    path,
    text,
    web_address,
)

# What Go's time package calls a unit, in seconds.
GO_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
GO_NUMBERS = st.from_regex(r"\A(?:[0-9]{1,5}(?:\.[0-9]{0,3})?|\.[0-9]{1,3})\Z")
GO_DURATIONS = st.lists(
    st.tuples(GO_NUMBERS, st.sampled_from(sorted(GO_UNITS))), min_size=1, max_size=4
)


def refusal(parse: Callable[[str], Any], value: str) -> str:
    """Return what the knob KNOB with *parse* says of *value*."""
    with pytest.raises(KnobError) as caught:
        Knob("KNOB", parse, "", "").read({"KNOB": value})
    return str(caught.value)


@given(GO_DURATIONS)
def test_a_duration_in_gos_grammar_parses_to_its_seconds(
    parts: list[tuple[str, str]],
) -> None:
    written = "".join(number + unit for number, unit in parts)
    expected = sum(float(number) * GO_UNITS[unit] for number, unit in parts)
    # The parser is exact to a microsecond.
    assert duration(written) == pytest.approx(expected, abs=1e-6)


@given(st.text(alphabet="0123456789.+-nuµμmshdwy e٣", max_size=8))
def test_a_text_parses_as_a_duration_exactly_when_gos_grammar_has_it(
    value: str,
) -> None:
    # From the documentation of time.ParseDuration, less the minus sign: "a
    # sequence of decimal numbers, each with optional fraction and a unit suffix".
    number = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
    grammar = rf"\+?(?:0|(?:{number}(?:ns|us|µs|μs|ms|s|m|h))+)"
    if re.fullmatch(grammar, value):
        assert duration(value) >= 0
    elif value:
        assert refusal(duration, value) == (
            f"KNOB={value!r} is not valid: expected a duration such as "
            "'200ms', '6s' or '1m30s'."
        )


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0.0),
        ("+0", 0.0),
        ("0s", 0.0),
        ("200ms", 0.2),
        ("6s", 6.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("1h1h", 7200.0),
        ("+3s", 3.0),
        ("9223372036s", 9223372036.0),
    ],
)
def test_duration_parses(written: str, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["5", "-1s", "1d", "1w", "1y", "1mm", "1e3s", "1 s", "s", ".", "٣s", "1s\n"],
)
def test_duration_refuses(written: str) -> None:
    assert "expected a duration such as" in refusal(duration, written)


@pytest.mark.parametrize("written", ["9223372037s", "99999999999999999999h"])
def test_duration_refuses_what_gos_nanoseconds_cannot_hold(written: str) -> None:
    assert "expected a duration such as" in refusal(duration, written)


@pytest.mark.parametrize("written", ["1", "t", "T", "true", "TRUE", "True"])
def test_boolean_takes_gos_words_for_true(written: str) -> None:
    assert boolean(written) is True


@pytest.mark.parametrize("written", ["0", "f", "F", "false", "FALSE", "False"])
def test_boolean_takes_gos_words_for_false(written: str) -> None:
    assert boolean(written) is False


@pytest.mark.parametrize("written", ["yes", "no", "on", "tRUE", " true", "2"])
def test_boolean_refuses(written: str) -> None:
    assert refusal(boolean, written) == (
        f"KNOB={written!r} is not valid: expected true or false."
    )


def test_count_takes_its_bounds() -> None:
    parse = count(1, 256)
    assert (parse("1"), parse("256"), parse("007")) == (1, 256, 7)


@pytest.mark.parametrize("written", ["0", "257", "-1", "+1", "1.0", "", "٣", "9" * 30])
def test_count_refuses(written: str) -> None:
    knob = Knob("KNOB", count(1, 256), "x", "")
    with pytest.raises(KnobError) as caught:
        knob.read({"KNOB": written})
    assert str(caught.value) == (
        f"KNOB={(written or 'x')!r} is not valid: expected a whole number from 1 to 256."
    )


def test_one_of_names_what_is_allowed() -> None:
    assert one_of("auto", "bind")("bind") == "bind"
    assert refusal(one_of("auto", "bind"), "Bind") == (
        "KNOB='Bind' is not valid: expected one of auto, bind."
    )


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        (":8080", Address("", 8080)),
        (":0", Address("", 0)),
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:65535", Address("localhost", 65535)),
        ("[::1]:8080", Address("::1", 8080)),
        ("[::]:80", Address("::", 80)),
        ("unix:/run/x.sock", Address("", 0, "/run/x.sock")),
        ("unix:x y.sock", Address("", 0, "x y.sock")),
    ],
)
def test_address_parses_and_is_written_as_it_was(written: str, parsed: Address) -> None:
    assert address(written) == parsed
    assert str(address(written)) == written
    assert address(written).is_unix is written.startswith("unix:")


@pytest.mark.parametrize(
    "written",
    [
        "8080",
        "localhost",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:٣",
        "::1:8080",
        "[127.0.0.1]:8080",
        "[::1]",
        "[::g]:1",
        "a b:1",
        "unix:",
        "http://localhost:8080",
    ],
)
def test_address_refuses(written: str) -> None:
    assert refusal(address, written) == (
        f"KNOB={written!r} is not valid: expected an address such as ':8080', "
        "'127.0.0.1:8080', '[::1]:8080' or 'unix:/run/x.sock'."
    )


def test_networks_take_addresses_networks_and_words() -> None:
    shown = [
        str(found) for found in networks("loopback, 10.1.2.3/8 ,192.168.1.7,fd00::/8")
    ]
    assert shown == [
        *map(str, LOOPBACK),
        "10.0.0.0/8",
        "192.168.1.7/32",
        "fd00::/8",
    ]
    assert networks("none") == ()


@pytest.mark.parametrize(
    "written", ["*", "10.0.0.0/33", "proxy.example", "10.0.0.0;::1"]
)
def test_networks_refuse(written: str) -> None:
    assert refusal(networks, written) == (
        f"KNOB={written!r} is not valid: expected 'loopback', 'none', or addresses "
        "and networks such as '10.0.0.0/8,192.168.1.7'."
    )


def test_path_is_absolute_and_knows_the_home_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert path("./data") == tmp_path / "data"
    assert path("~/data") == Path("/home/somebody/data")


def test_path_refuses_the_home_of_nobody() -> None:
    assert refusal(path, "~nobody-of-this-name/data") == (
        "KNOB='~nobody-of-this-name/data' is not valid: expected a path whose '~' "
        "is the home directory of a user."
    )


def test_a_refusal_is_one_line_whatever_the_value() -> None:
    assert refusal(boolean, "a\nb\x1b[2J") == (
        r"KNOB='a\nb\x1b[2J' is not valid: expected true or false."
    )


def test_a_secrets_value_is_never_shown() -> None:
    knob = Knob("TOKEN", count(1, 2), "", "", secret=True)
    with pytest.raises(KnobError) as caught:
        knob.read({"TOKEN": "hunter2"})
    assert str(caught.value) == (
        "TOKEN='(secret)' is not valid: expected a whole number from 1 to 2."
    )
    assert caught.value.value == "(secret)"


def test_an_empty_variable_is_the_default() -> None:
    knob = Knob("WORKERS", count(1, 9), "2", "")
    assert knob.read({"WORKERS": ""}) == 2
    assert knob.read({}) == 2
    assert Knob("VAULT_DIR", path, "", "").read({}) is None


def test_a_table_refuses_a_name_that_stands_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        KNOBS + KnobTable(Knob("WORKERS", text, "", ""))


def test_a_table_keeps_its_order() -> None:
    added = KnobTable(Knob("A", text, "1", "")) + KnobTable(Knob("B", text, "2", ""))
    assert [knob.name for knob in added] == ["A", "B"]
    assert added.load({"B": "3"}) == {"A": "1", "B": "3"}


def test_every_default_parses_and_every_flag_follows_its_variable() -> None:
    values = KNOBS.load({})
    assert values["LISTEN_ADDR"] == Address("127.0.0.1", 8080)
    assert values["DATA_DIR"] == Path(os.path.abspath("data"))  # noqa: PTH100 - as a shell
    flags = {knob.name: knob.flag for knob in KNOBS}
    assert flags["INTERNAL_LISTEN_ADDR"] == "--internal-listen-addr"
    assert {knob.name for knob in KNOBS if knob.is_boolean} == {
        "ACCESS_LOG",
        "ALLOW_BREAKING_MIGRATIONS",
        "KILL_FROZEN_HOLDER",
        "LITESTREAM",
        "MIGRATE_ON_HANDOFF",
        "SIMPLE_BACKUP",
        "SIMPLE_BACKUP_ON_SHUTDOWN",
        "VACUUM_CRON",
    }


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://Notes.Example.org/", "https://notes.example.org"),
        ("HTTPS://10.0.0.7", "https://10.0.0.7"),
        ("http://[2001:DB8::1]:80", "http://[2001:db8::1]:80"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_web_address_is_without_a_slash_at_its_end(value: str, parsed: str) -> None:
    assert web_address(value) == parsed


@pytest.mark.parametrize(
    "value",
    [
        *("notes.example.org", "//notes.example.org", "ftp://notes.example.org"),
        *(
            "http://",
            "http:///",
            "https://a b",
            "http://a/b",
            "http://a//",
            "http://a?b",
        ),
        *("http://a#b", "http://u:p@a", "http://a:99999", "http://a:x", "http://a:"),
        *(
            "https://bücher.example",
            "http://[::1",
            "http://[v1.a]",
            "http://a,b",
            "http://.a",
        ),
        *("http://a\n", " http://a", "http://*"),
    ],
)
def test_anything_else_is_no_web_address(value: str) -> None:
    assert refusal(web_address, value) == (
        f"KNOB={value!r} is not valid: expected an address such as "
        "'https://notes.example.org' or 'http://localhost:8080', without a path."
    )
