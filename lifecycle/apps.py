"""The lifecycle application."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class LifecycleConfig(AppConfig):
    """The lifecycle application."""

    name = "lifecycle"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks."""
        from lifecycle.checks import check_hazards, check_settings

        register(check_settings)
        register(check_hazards, deploy=True)
