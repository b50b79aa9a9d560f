"""Every address that Django's own views answer."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("", include("notes.urls"))]

handler404 = "notes.views.unknown"
handler500 = "notes.views.server_error"
