"""A health check that fails."""

from __future__ import annotations

import dataclasses

from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable


@dataclasses.dataclass
class Broken(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """Fail always."""

    def run(self) -> None:
        raise ServiceUnavailable("broken")
