"""The addresses that Django answers for notes; `notes.serving` answers the rest."""

from __future__ import annotations

import re

from django.urls import path, re_path

from notes import addresses, api, views

urlpatterns = [
    path(addresses.FEED.removeprefix("/"), views.feed),
    path(addresses.SITEMAP.removeprefix("/"), views.sitemap),
    path(addresses.LLMS.removeprefix("/"), views.llms_txt),
    re_path(rf".{re.escape(addresses.FEED)}\Z", views.feed_of_part),
    path("sitemap-<slug:section>.xml", views.sitemap_part),
    # A path may have any character, a newline too: it is the API that refuses it.
    re_path(rf"^{addresses.API.removeprefix('/')}(?P<path>[\s\S]*)\Z", api.note),
    # In place of the pages of Django: the catch-all keeps its own 404 page, and the
    # redirects to a slash at the end, away.
    re_path("", views.unknown),
]
