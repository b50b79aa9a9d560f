"""Views that read and write, for a test's client."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from lifecycle.models import AppliedMigration


def write(request: HttpRequest) -> HttpResponse:
    AppliedMigration.objects.create(
        app="a", name=request.method or "", is_compatible=True, applied_at=0
    )
    return HttpResponse("written")


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(AppliedMigration.objects.count()))


urlpatterns = [path("write", write), path("read", read)]
