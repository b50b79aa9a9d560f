"""What has several things begin, and end in the order back."""

from __future__ import annotations

import abc
import contextlib
from types import TracebackType
from typing import Self


class Owner(abc.ABC):
    """
    Used with `with`: what was begun on entering ends on leaving.

    It ends, too, when the rest cannot begin.
    """

    def __init__(self) -> None:
        self._resources = contextlib.ExitStack()

    @abc.abstractmethod
    def _begin(self) -> None:
        """Begin all, and put into `_resources` how each ends."""

    def __enter__(self) -> Self:
        with self._resources:
            self._begin()
            self._resources = self._resources.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()
