"""Take the pictures of the tutorial anew: start the simulated company, look at it, write them down.

The company, the moment and the window are always the same, so pictures differ only where pages do.
Needs Debian's chromium.
"""

from __future__ import annotations

import base64
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from ebbtide.app.demo import fill
from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings

FOLDER = Path(__file__).parent.parent / "docs" / "tutorial"
NOW = datetime(2026, 3, 12, 7, 30, tzinfo=UTC)
MAX_BYTES = 150_000
QUALITY = 82
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}


def main() -> None:
    """Write every picture."""
    with TemporaryDirectory(prefix="ebbtide-pictures-") as folder:
        with House(Settings(data_dir=Path(folder) / "data"), lambda: NOW) as house:
            fill(house, seed=7, num_tenants=60, num_days=45)
            with serving_aside(house) as running, sync_playwright() as driver:
                assert house.first_key is not None
                path = shutil.which("chromium") or shutil.which("chromium-browser")
                if path is None:
                    sys.exit("This needs Debian's chromium.")
                browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
                page = browser.new_context(
                    viewport=DESK,
                    color_scheme="light",
                    reduced_motion="reduce",
                    base_url=running.url,
                ).new_page()
                page.goto("/")
                page.fill("#key", house.first_key)
                page.click("text=Open the console")
                walk(page)
                browser.close()


def walk(page: Page) -> None:
    """The way of the tutorial, a picture at each stop."""
    page.goto("/pulse")
    take(page, "pulse")
    page.goto("/today")
    take(page, "today")
    page.locator(".call [data-why]").first.click()
    page.locator("#why-dialog >> text=What went in").wait_for()
    take(page, "why")
    page.keyboard.press("Escape")
    page.locator(".call h2 a").first.click()
    page.wait_for_url("**/customers/*")
    take(page, "customer")
    page.evaluate("document.querySelector('#line-title').scrollIntoView()")
    take(page, "timeline")
    page.goto("/incidents")
    take(page, "incidents")
    page.goto("/infra")
    take(page, "limits")
    page.emulate_media(color_scheme="dark")
    page.goto("/pulse?as_of=2026-02-27T07:30:00Z")
    take(page, "past")
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="light")
    page.goto("/today")
    take(page, "phone")


def take(page: Page, name: str) -> None:
    """Write what is seen now as WebP, which is a third as large as PNG."""
    page.wait_for_load_state("networkidle")
    session = page.context.new_cdp_session(page)
    said = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    session.detach()
    content = base64.b64decode(said["data"])
    if len(content) > MAX_BYTES:
        sys.exit(f"{name}.webp has {len(content):,} bytes, more than {MAX_BYTES:,}")
    (FOLDER / f"{name}.webp").write_bytes(content)
    print(f"{name}.webp: {len(content):,} bytes")


if __name__ == "__main__":
    main()
