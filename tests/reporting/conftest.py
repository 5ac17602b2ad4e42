"""A browser for all tests of pages, and how a page is opened in it.

Chromium comes from the distribution's packages, and ``playwright`` drives it. Where either is missing the tests are
skipped, unless ``SERSTORE_REQUIRE_SHARED`` is 1: then they fail.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ser_store as ss

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)
Open = Callable[..., Any]


def _lack(what: str) -> None:
    if os.environ.get("SERSTORE_REQUIRE_SHARED") == "1":
        pytest.fail(f"{what}: the tests of pages need it")
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        _lack("no Chromium is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _lack("playwright is not installed")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a written page; at the end there must be no complaint of the browser, and no request but for the page."""
    complaints: list[str] = []
    requests: list[str] = []
    opened = []

    def open_one(file: Path, *, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        opened.append((context, file.as_uri()))
        return page

    yield open_one
    for context, _ in opened:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [uri for _, uri in opened]


@pytest.fixture(scope="module")
def paper_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ss.report(ss.open_example(), tmp_path_factory.mktemp("page") / "paper.html").file
