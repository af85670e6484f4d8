"""What every browser test needs: an application on a port, axe, a real input-method composition."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from playwright.async_api import Page

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SIZES = [(1366, 768), (390, 844), (320, 640)]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve the application on a free port, in this event loop; yield its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


async def axe(page: Page) -> None:
    """No violation of WCAG 2.2 AA or of axe's best practice; nothing undecided but contrast under
    sticky bars and gradients.
    """
    # Through the debugger, not as a script of the page: its policy would forbid that.
    await page.evaluate(AXE)
    result = await page.evaluate("tags => axe.run(document, {runOnly: tags})", TAGS)
    assert not result["violations"], [
        (v["id"], [n["html"] for n in v["nodes"]][:3]) for v in result["violations"]
    ]
    assert all(each["id"] == "color-contrast" for each in result["incomplete"]), [
        each["id"] for each in result["incomplete"]
    ]


async def fits(page: Page) -> None:
    """Nothing sticks out sideways."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= await page.evaluate(
        "innerWidth"
    )


async def ime(page: Page, pinyin: str, hanzi: str) -> None:
    """A composition as an input method makes it: every letter an update, then the characters
    without a key, as with a mouse pick.
    """
    session = await page.context.new_cdp_session(page)
    for end in range(1, len(pinyin) + 1):
        await session.send(
            "Input.imeSetComposition",
            {"text": pinyin[:end], "selectionStart": end, "selectionEnd": end},
        )
    await session.send("Input.insertText", {"text": hanzi})
    await session.detach()


async def composing_key(page: Page, key: str = "Enter", selector: str = "") -> bool:
    """Press a key that belongs to the input method (keyCode 229); True when a handler took it."""
    script = """([key, selector]) => {
        const target = selector ? document.querySelector(selector) : document.activeElement;
        const make = (options) => new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true, ...options});
        return [make({keyCode: 229}), make({isComposing: true})].some((event) => !target.dispatchEvent(event));
    }"""
    return bool(await page.evaluate(script, [key, selector]))
