"""What lifecycle raises. Attributes carry what an operator asks next."""

from __future__ import annotations


class LifecycleError(Exception):
    """Base of every error here; never raised itself."""


class WriterBusyError(LifecycleError):
    """The writer cannot take this work now; the message says who holds the slot."""

    def __init__(self, message: str, returncode: int = 3) -> None:
        super().__init__(message)
        self.returncode = returncode


class JobFailedError(LifecycleError):
    """A job that ran in the writer and failed; the message is one line."""

    def __init__(self, message: str, returncode: int = 1) -> None:
        super().__init__(message)
        self.returncode = returncode
