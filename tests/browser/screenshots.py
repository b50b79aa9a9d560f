"""
Pictures of the manual, for docs/: a phone and a desktop, in light and in dark.

    python -m tests.browser.screenshots
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from bench.stage import Stage
from lifecycle.knobs import Address
from tests.browser.readers import ALL_SCREENS, Reader
from tests.documents import MANUAL
from tests.processes import free_port

_PAGES = {"phone": "/markdown", "desktop": "/"}


def main() -> None:
    """Write the pictures."""
    address = Address("127.0.0.1", free_port())
    origin = f"http://{address}"
    with tempfile.TemporaryDirectory() as name:
        stage = Stage(Path(name), grace=0.0, environ=(("PUBLIC_URL", origin),))
        stage.load_vault(MANUAL)
        with stage.instance(public=address) as instance, sync_playwright() as running:
            instance.start()
            instance.wait_ready()
            browser = running.chromium.launch(
                executable_path=shutil.which("chromium-headless-shell"),
                args=["--no-sandbox"],
            )
            for screen in ALL_SCREENS:
                reader = Reader(origin, browser, screen)
                page = reader.open(_PAGES[screen.name])
                page.wait_for_load_state("networkidle")
                if not screen.is_phone:
                    page.locator(".near canvas[data-settled]").wait_for()
                # Few colours are enough, and a quarter of the bytes.
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                path = MANUAL / "screenshots" / f"{screen}.png"
                picture.quantize(64).save(path, optimize=True)
                reader.leave()
            browser.close()


if __name__ == "__main__":
    main()
