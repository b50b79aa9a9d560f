"""The sample's pages."""

from __future__ import annotations

import gc
import json
import os
import time
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.lifecycle.sample import tasks
from tests.lifecycle.sample.models import Entry


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("home")


def slow(request: HttpRequest) -> HttpResponse:
    """Answer in a while; the file that is named tells that it has begun."""
    Path(request.GET["began"]).touch()
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse("slow")


def entries(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Entry.objects.count()))


def process(request: HttpRequest) -> HttpResponse:
    """Answer with what this worker has open, as the kernel sees it."""
    links = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
        except FileNotFoundError:
            continue  # the listing's own
    return HttpResponse(json.dumps({"pid": os.getpid(), "open": sorted(links)}))


def memory(request: HttpRequest) -> HttpResponse:
    """Answer with what the collector leaves alone here, and what it has never taken."""
    left = [name for name, cycle in tasks.cycles.items() if cycle() is not None]
    return HttpResponse(json.dumps({"frozen": gc.get_freeze_count(), "left": left}))


urlpatterns = [
    path("", home),
    path("slow", slow),
    path("entries", entries),
    path("process", process),
    path("memory", memory),
]
