"""Skips are counted: with --allowed-skips, one that no line allows fails the run."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

skips = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--allowed-skips",
        type=Path,
        metavar="FILE",
        help="fail when a test skips that no glob in FILE names (default: any may)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[skips] = {}
    config.pluginmanager.register(SkipRecorder(config.stash[skips]))


def allowed_globs(text: str) -> list[str]:
    """Return the globs of *text*: a line each, what follows '#' is its reason."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


class SkipRecorder:
    """Keeps each skipped test's, or skipped module's, reason by node id."""

    def __init__(self, reasons: dict[str, str]) -> None:
        self.reasons = reasons

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # An expected failure is reported as skipped too; it did run.
        if report.skipped and not hasattr(report, "wasxfail"):
            self.record(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.record(report)

    def record(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        longrepr = report.longrepr
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        self.reasons[report.nodeid] = reason.removeprefix("Skipped: ")


def unexpected_skips(config: pytest.Config) -> dict[str, str]:
    """Return the skips that nothing allows; none without --allowed-skips."""
    path = config.getoption("--allowed-skips")
    if path is None:
        return {}
    globs = allowed_globs(path.read_text())
    return {
        nodeid: reason
        for nodeid, reason in config.stash[skips].items()
        if not any(fnmatchcase(nodeid, glob) for glob in globs)
    }


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if unexpected_skips(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for nodeid, reason in unexpected_skips(config).items():
        terminalreporter.write_line(f"SKIP NOT ALLOWED {nodeid}: {reason}", red=True)
