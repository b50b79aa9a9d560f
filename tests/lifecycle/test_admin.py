"""Django's own admin behind the write gate: no page of its own has to know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.checks.registry import registry
from django.core.management import call_command
from django.test import Client

from lifecycle import gate
from lifecycle.gate import WriteOutsideGateError
from lifecycle.models import AppliedMigration
from lifecycle.page import SharedPage
from tests.lifecycle.guarded import begin_epoch

CONTRIB = [
    f"django.contrib.{name}"
    for name in ("admin", "auth", "contenttypes", "messages", "sessions")
]
ROW = {"app": "a", "name": "0001", "is_compatible": "on", "applied_at": "0"}
urlpatterns: list[Any] = []


def test_a_page_of_the_admin_writes_through_the_gate_and_not_past_it(
    guarded: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the applications below register is not for the tests after this one.
    for name in ("registered_checks", "deployment_checks"):
        monkeypatch.setattr(registry, name, set(getattr(registry, name)))
    settings.INSTALLED_APPS = [*CONTRIB, *settings.INSTALLED_APPS]
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    settings.ROOT_URLCONF = __name__
    from django.contrib import admin
    from django.contrib.auth.models import User
    from django.urls import path

    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
    site, client, page = admin.AdminSite(), Client(), SharedPage()
    site.register(AppliedMigration)
    urlpatterns[:] = [path("admin/", site.urls)]
    page.epoch = 1000
    begin_epoch(guarded, page.epoch)
    gate.set_authority(gate.WorkerAuthority(page))
    with gate.write():
        client.force_login(User.objects.create_superuser("root"))
    address = "/admin/lifecycle/appliedmigration/add/"

    with pytest.raises(WriteOutsideGateError):
        client.post(address, ROW)
    assert not AppliedMigration.objects.filter(app="a").exists()
    with gate.write():
        assert client.post(address, ROW).status_code == 302
    assert AppliedMigration.objects.filter(app="a").exists()
