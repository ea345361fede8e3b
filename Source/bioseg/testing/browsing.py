"""A real browser on a real server, and what no page may do in it: ask elsewhere, complain, be hard to read."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-dev-shm-usage"),
]
PATIENCE = 30_000
"""Milliseconds."""
CONTRAST = """() => {
  const light = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.match(/[\\d.]+/g).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.disabled || node.closest(".hidden, .skip")) continue;
    const [one, other] = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
"""A script that lists text whose contrast is below the 4.5 of WCAG AA."""


@contextmanager
def launched() -> Iterator[Browser]:
    """Run a browser; what a test expects of its pages may take as long as the pages themselves."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, address: str, refusals: str, width: int = 1180) -> Iterator[Page]:
    """Open a page as a new visitor, and look afterwards at what it asked for and what was complained of.

    Parameters
    ----------
    refusals
        Statuses of answers that may be complained of, as alternatives of a regular expression.
    width
        Of the window, pixels.

    Raises
    ------
    AssertionError
        When the page has asked another host, or there was another complaint.
    """
    context = browser.new_context(viewport={"width": width, "height": 1400})
    addresses: list[str] = []
    complaints: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: addresses.append(request.url))
    page.on("console", lambda message: complaints.extend(_complaint(message)))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(PATIENCE)
    try:
        page.goto(address)
        yield page
    finally:
        context.close()
    server = f"http://{urlsplit(address).netloc}"
    foreign = [each for each in addresses if not each.startswith((server, "blob:", "data:"))]
    unexpected = [text for text in complaints if re.search(f"status of ({refusals})", text) is None]
    if foreign or unexpected:
        raise AssertionError(f"asked elsewhere: {foreign}; complaints: {unexpected}")


def _complaint(message: ConsoleMessage) -> list[str]:
    return [message.text] if message.type in {"error", "warning"} else []
