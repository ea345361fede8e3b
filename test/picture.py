"""Takes the README's pictures of the page, with synthetic examples only: `picture.py ADDRESS FOLDER`."""

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]


def take(page: Page, example: int, target: Path) -> None:
    """Click an example, wait for the answer, and keep a picture of the page."""
    page.locator("[data-example]").nth(example).click()
    page.locator("#result, #problem").filter(visible=True).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    page.screenshot(path=target, full_page=True)


def main(address: str, folder: Path) -> None:
    """Picture an accepted section and a refused picture."""
    folder.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for example, name in ((0, "page.png"), (2, "refused.png")):
            page = browser.new_page(viewport={"width": 1180, "height": 900})
            page.goto(address)
            take(page, example, folder / name)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
