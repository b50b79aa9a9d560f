"""The small site has no views of Django's."""

from __future__ import annotations

urlpatterns: list[object] = []
