"""CI fails on a skip that nobody allowed."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONFTEST = "from tests.conftest import *"
MODULE = """
import pytest

def test_runs():
    pass

@pytest.mark.skipif(True, reason="no nginx here")
def test_skips():
    pass

@pytest.mark.xfail(raises=AssertionError, strict=True)
def test_fails_as_expected():
    assert False
"""


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_it=MODULE)
    return pytester.runpytest_inprocess("-p", "no:django", "-p", "no:coverage", *args)


def test_a_skip_passes_when_nobody_asks(pytester: pytest.Pytester) -> None:
    assert run(pytester).ret == pytest.ExitCode.OK


def test_a_skip_that_no_line_allows_fails_and_is_named(
    pytester: pytest.Pytester,
) -> None:
    pytester.path.joinpath("allowed").write_text("# test_it.py::* in a comment\n")
    result = run(pytester, "--allowed-skips=allowed")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["SKIP NOT ALLOWED test_it.py::test_skips: no nginx here", "*1 passed, 1 skip*"]
    )


def test_a_skip_that_a_line_allows_passes(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("allowed").write_text("*::test_skips  # needs nginx\n")
    assert run(pytester, "--allowed-skips=allowed").ret == pytest.ExitCode.OK


def test_a_module_that_skips_whole_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_whole="import pytest; pytest.skip('no', allow_module_level=True)"
    )
    pytester.path.joinpath("allowed").write_text("*::test_skips\n")
    result = run(pytester, "--allowed-skips=allowed")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["SKIP NOT ALLOWED test_whole.py: no"])
