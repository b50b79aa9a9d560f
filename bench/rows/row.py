"""What every row can do."""

from __future__ import annotations

import abc
import contextlib
import enum
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from bench.instance import Instance
from bench.report import Report
from bench.stage import Stage
from lifecycle.knobs import Address


class Claim(enum.Enum):
    """What a row must show, or the table is wrong."""

    KEEPS_ALL = "must lose nothing"
    LOSES = "must lose something"
    PRINTED = "is only printed"

    def is_met(self, report: Report) -> bool:
        """Return whether *report* shows it."""
        lost = (
            report.reads - report.reads_kept
            + report.writes - report.writes_kept
            + report.writes_lost + report.writes_duplicated
        )  # fmt: skip
        if self is Claim.KEEPS_ALL:
            return lost == 0 and report.reads > 0
        return lost > 0 if self is Claim.LOSES else True


class Row(abc.ABC):
    """
    A public port with instances behind it that are replaced one by another.

    Used as `with row: row.start(); row.prepare(n); row.deploy(); …`; leaving ends what runs.
    """

    name: ClassVar[str]
    ways: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    """What of the stage is other than usual, in each of the ways to play it."""
    claim: Claim
    ca: Path | None = None
    """Who signed the certificate of a public port that speaks TLS."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.resources = contextlib.ExitStack()

    @classmethod
    def missing(cls) -> str | None:
        """Return what the machine lacks for this row and how to get it, or None."""
        return None

    @property
    def settings(self) -> dict[str, str]:
        """What this row was played with, where it may be played in several ways."""
        return {}

    @property
    @abc.abstractmethod
    def target(self) -> Address:
        """The public port."""

    @abc.abstractmethod
    def start(self) -> None:
        """Have the first instance ready."""

    def prepare(self, deploys: int) -> None:  # noqa: B027 - most have nothing to make
        """Make what so many deploys bring, ahead of the load, where that takes a while."""

    @abc.abstractmethod
    def deploy(self) -> None:
        """Replace the instance; return once the new one is ready and the old gone."""

    def make_token(self) -> str:
        """Return a new token of the API; an instance runs."""
        return self.stage.make_token()

    def own(self, instance: Instance) -> Instance:
        """Return *instance*, which ends with this row at the latest."""
        return self.resources.enter_context(instance)

    def __enter__(self) -> Row:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.resources.close()
