"""One Chromium for the whole run, a fresh context for every test."""

import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from shared.appraisal.labels import Role
from shared.security.sessions import COOKIE
from tests.browser.gallery import make_app
from tests.browser.support import ARGUMENTS, serving

CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same engine without a window's trimmings, several times as fast: `tests/setup`
installs it where it can.
"""
CHROMIUM = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


class Gallery:
    """The gallery, served, and a browser in front of it."""

    def __init__(self, url: str, chromium: Browser, app: FastAPI) -> None:
        self.url, self.chromium, self.app = url, chromium, app
        self.contexts: list[BrowserContext] = []
        self.errors: list[str] = []

    @property
    def state(self) -> Any:
        return self.app.state

    async def open(
        self,
        path: str,
        role: Role | None = Role.OPERATOR,
        size: tuple[int, int] = (1366, 768),
        script: bool = True,
        look: str = "",
    ) -> Page:
        """A page of the gallery, signed in as `role`. What its console complains about is in
        `errors`.
        """
        context = await self.chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale="zh-CN",
            java_script_enabled=script,
        )
        self.contexts.append(context)
        if role:
            await context.add_cookies([{"name": COOKIE, "value": f"token-{role}", "url": self.url}])
        if look:
            await context.add_cookies([{"name": "fengping_look", "value": look, "url": self.url}])
        page = await context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.errors.append(message.text)
                if "Content Security Policy" in message.text
                else None
            ),
        )
        await page.goto(self.url + path)
        return page


@pytest.fixture
async def gallery(chromium: Browser) -> AsyncIterator[Gallery]:
    app = make_app()
    async with serving(app) as url:
        opened = Gallery(url, chromium, app)
        yield opened
        for context in opened.contexts:
            await context.close()
    assert not opened.errors, opened.errors
