"""Readers: a screen, a colour scheme, and what their browser asked for and said."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from playwright.sync_api import Browser, ConsoleMessage, Page

TIMEOUT = 20_000.0  # milliseconds, for whatever is waited for


@dataclass(frozen=True)
class Screen:
    """What a reader looks at."""

    name: str
    width: int
    height: int
    scheme: str
    is_phone: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.scheme}"


_PHONE = Screen("phone", 390, 844, "dark", is_phone=True)
_DESKTOP = Screen("desktop", 1440, 900, "light")
_OTHERS = (replace(_PHONE, scheme="light"), replace(_DESKTOP, scheme="dark"))
ALL_SCREENS = (_PHONE, _DESKTOP, *_OTHERS)
SCREENS = ALL_SCREENS if os.environ.get("SOAK") else ALL_SCREENS[:2]


class Reader:
    """
    One reader's browser, with cookies and a cache of its own.

    Its pages ask no other site for anything and say nothing in the console: else
    `leave` returns it.
    """

    def __init__(
        self,
        site: str,
        browser: Browser,
        screen: Screen,
        *,
        has_scripts: bool = True,
        reduces_motion: bool = False,
    ) -> None:
        self.site = site
        self.screen = screen
        self.requests: list[str] = []
        self._said: list[str] = []
        self.context = browser.new_context(
            viewport={"width": screen.width, "height": screen.height},
            color_scheme="dark" if screen.scheme == "dark" else "light",
            has_touch=screen.is_phone,
            is_mobile=screen.is_phone,
            java_script_enabled=has_scripts,
            reduced_motion="reduce" if reduces_motion else "no-preference",
        )
        self.context.set_default_timeout(TIMEOUT)
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("console", self._hear)
        self.context.on("weberror", lambda error: self._said.append(str(error.error)))
        self.page: Page = self.context.new_page()

    def open(self, path: str) -> Page:
        """Go to *path*, and return the page when it is loaded."""
        self.page.goto(self.site + path, wait_until="load")
        return self.page

    def forgive(self, text: str) -> None:
        """Forget what was said with *text* in it: it was meant."""
        self._said = [said for said in self._said if text not in said]

    def leave(self) -> list[str]:
        """Close the browser's window; return what was not as it should be."""
        self.context.close()
        # The last is the browser's own, for documents.
        inside = (f"{self.site}/", "data:", "blob:", "chrome-extension:")
        asked = [url for url in self.requests if not url.startswith(inside)]
        return [*self._said, *asked]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._said.append(message.text)
