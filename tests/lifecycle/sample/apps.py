"""The sample application."""

from __future__ import annotations

from django.apps import AppConfig


class SampleConfig(AppConfig):
    """The sample application."""

    name = "tests.lifecycle.sample"
    label = "sample"
    default_auto_field = "django.db.models.BigAutoField"
