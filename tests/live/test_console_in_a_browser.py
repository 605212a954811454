"""The console in a real Chromium, on a real server: from the sign-in to the sign-out, and looked at by axe.

`OPENVPS_TEST_SHOTS=FOLDER` keeps pictures of every page in both languages, light and dark, wide and narrow.
"""

import base64
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from lab import Lab
from openvps.accounts.second_factor import codes
from openvps.accounts.throttle import FOR_ONE_EMAIL
from openvps.core.clock import now

pytestmark = pytest.mark.live

PASSWORD = "four words nobody guesses"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
SERIOUS = {"serious", "critical"}
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SLOW_MS = 60_000
LABELLED = (  # on a phone a table's headings are away, and each cell says its own
    "[...document.querySelectorAll('table.list td[data-label]')]"
    ".every(one => one.dataset.label && getComputedStyle(one, '::before').content !== 'none')"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def customer(lab: Lab) -> Iterator[str]:
    """Return the e-mail of an account with a password and credit, which is gone with its servers at the end."""
    email = f"{secrets.token_hex(4)}@example.com"
    with httpx2.Client(base_url=lab.url, headers={"Authorization": f"Bearer {lab.token}"}, timeout=30) as operator:
        body = {"email": email, "password": PASSWORD, "credit": 50}
        made = operator.post("/admin/accounts/", json=body)
        assert made.status_code == 201, made.text
        signed_in = httpx2.post(f"{lab.url}/login/", json={"email": email, "password": PASSWORD}).json()
        yield email
        headers = {"Authorization": f"Bearer {signed_in['token']}"}
        for one in httpx2.get(f"{lab.url}/servers/", headers=headers).json()["results"]:
            httpx2.delete(f"{lab.url}/servers/{one['id']}/", headers=headers)
        deadline = time.monotonic() + 30
        while operator.delete(f"/admin/accounts/{made.json()['id']}/").status_code != 204:
            assert time.monotonic() < deadline, "its servers stay"


class Person:
    """Somebody at the console, whose browser tells of every error that it meets."""

    def __init__(self, browser: Browser, root: str) -> None:
        self.context: BrowserContext = browser.new_context(viewport=WIDE)  # pyright: ignore[reportArgumentType]
        self.page: Page = self.context.new_page()
        self.root = root
        self.errors: list[str] = []
        self.page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        self.page.on("pageerror", lambda one: self.errors.append(str(one)))

    def go(self, path: str) -> None:
        self.page.goto(self.root + path)

    def sign_in(self, email: str, password: str) -> None:
        self.go("/sign-in/")
        self.page.fill("#email", email)
        self.page.fill("#password", password)
        self.page.click("form[aria-labelledby=by-password] button")

    def status(self, word: str) -> None:
        self.page.wait_for_selector(f"#now .state .status.{word}", timeout=SLOW_MS)

    def screen(self) -> str:
        return self.page.evaluate("document.querySelector('.xterm-rows').innerText")

    def sees(self, text: str, again: Callable[[], None] | None = None) -> None:
        """Wait until the terminal shows something, pressing Enter now and then where that helps."""
        deadline = time.monotonic() + 30
        while text not in self.screen():
            assert time.monotonic() < deadline, self.screen()[-500:]
            if again:
                again()
            self.page.wait_for_timeout(500)

    def looked_at(self, name: str, *, kept: bool = True) -> None:
        """Let axe look at the page, light, dark and narrow; nothing may be wider than a phone.

        A page that is shown once isn't `kept` as a picture, which would load it anew.
        """
        page = self.page
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
            axe: Any = Axe()  # untyped
            found: list[Any] = axe.run(page).response["violations"]
            bad = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS]
            assert not bad, (name, scheme, bad)
        page.set_viewport_size(NARROW)  # pyright: ignore[reportArgumentType]
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], name
        assert page.evaluate(LABELLED), name
        page.set_viewport_size(WIDE)  # pyright: ignore[reportArgumentType]
        page.emulate_media(color_scheme="light")
        if kept and (folder := os.environ.get("OPENVPS_TEST_SHOTS")):
            self.pictures(Path(folder), name)

    def pictures(self, folder: Path, name: str) -> None:
        page, here = self.page, self.page.url
        for language in ("en", "gu"):
            page.goto(f"{here.partition('?')[0]}?lang={language}")
            page.wait_for_timeout(1500)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
                for size, shape in (("wide", WIDE), ("narrow", NARROW)):
                    page.set_viewport_size(shape)  # pyright: ignore[reportArgumentType]
                    page.screenshot(path=folder / f"{name}-{language}-{scheme}-{size}.png", full_page=True)
        page.set_viewport_size(WIDE)  # pyright: ignore[reportArgumentType]
        page.goto(f"{here.partition('?')[0]}?lang=en")
        page.emulate_media(color_scheme="light")


def test_a_servers_life_in_the_browser(lab: Lab, browser: Browser, customer: str) -> None:  # noqa: PLR0915 -- one walk
    person = Person(browser, lab.url.removesuffix("/api/v1"))
    page = person.page

    person.go("/")
    person.looked_at("sign-in")
    person.sign_in(customer, PASSWORD)
    expect(page.locator("h1")).to_have_text("Servers")
    person.go("/servers/new/")
    person.looked_at("new")
    page.fill("#name", "by-hand")
    page.check("input[name=plan_id][value='100']")
    expect(page.locator("#preview .price")).to_contain_text("1.00 USD")
    expect(page.locator("#preview")).to_contain_text("openvps server create by-hand")
    page.click("#create")
    person.status("active")
    here = page.url.partition("?")[0].removeprefix(person.root)

    person.go(f"{here}settings/")
    page.click("text=Reset the root password")
    password = page.inner_text("#secret")
    person.go(f"{here}terminal/")
    page.wait_for_selector("#shell[data-state=open]")
    person.sees("login:", lambda: page.keyboard.press("Enter"))
    page.keyboard.type("root\n")
    person.sees("Password:")
    page.keyboard.type(f"{password}\n")
    person.sees(":~#")
    page.keyboard.type("echo answer=$((6 * 7)) > /root/file; cat /root/file\n")
    person.sees("answer=42")
    size = page.get_attribute("#shell", "data-size") or ""
    person.sees(size, lambda: page.keyboard.type("stty size\n"))
    person.looked_at("terminal")

    person.go(f"{here}copies/")
    page.fill("#label", "before")
    page.click("text=Take a snapshot")
    page.wait_for_selector("#now .status.completed", timeout=SLOW_MS)
    person.looked_at("copies")
    page.click("button:has-text('Restore')")
    person.go(here)
    page.wait_for_selector("tr:has-text('Restore') .status.completed", timeout=SLOW_MS)
    person.status("active")
    page.click("#do-stop")
    person.status("stopped")
    expect(page.locator("#do-stop")).to_be_disabled()
    page.click("#do-start")
    person.status("active")

    for metric in ("cpu", "memory", "disk", "network"):
        page.wait_for_function(
            "metric => Number(document.querySelector(`figure[data-metric=${metric}]`).dataset.points) > 0",
            arg=metric,
            timeout=SLOW_MS,
        )
        assert page.locator(f"figure[data-metric={metric}] canvas").count() == 1
        assert page.inner_text(f"figure[data-metric={metric}] .latest")
    person.looked_at("server")
    for path, name in (
        (f"{here}settings/", "settings"),
        ("/servers/", "servers"),
        ("/keys/", "keys"),
        ("/tokens/", "tokens"),
        ("/webhooks/", "webhooks"),
        ("/billing/", "billing"),
        ("/activity/", "activity"),
    ):
        person.go(path)
        person.looked_at(name)
    assert person.errors == []

    other = Person(browser, person.root)
    other.go("/sign-in/")
    other.page.fill("#token", lab.token)
    other.page.click("form[aria-labelledby=by-token] button")
    expect(other.page.locator("h1")).to_have_text("Servers")
    assert "by-hand" not in other.page.content()
    for path in ("", "terminal/", "copies/", "settings/"):
        other.go(f"{here}{path}")
        expect(other.page.locator("h1")).to_have_text("Not found")
        assert "by-hand" not in other.page.content()
    for path, name in (
        ("/operator/accounts/", "accounts"),
        ("/operator/cells/", "cells"),
        ("/operator/plans/", "plans"),
        ("/operator/plans/100/", "plan"),
        ("/operator/consistency/", "consistency"),
        ("/operator/audit/", "audit"),
    ):
        other.go(path)
        other.looked_at(name)
    other.go("/operator/consistency/")
    other.page.click("text=Look now")
    other.page.wait_for_selector("#now .status.completed", timeout=SLOW_MS)
    other.looked_at("report")
    other.context.close()

    person.go("/security/")
    person.looked_at("security")
    page.fill("#password", PASSWORD)
    page.click("text=Set it up")
    person.looked_at("second-factor", kept=False)
    key = base64.b32decode(page.inner_text("#secret"))
    page.fill("#code", codes.code(key, codes.step_of(now())))
    page.click("text=Turn it on")
    recovery = page.inner_text("#recovery").split()
    assert len(recovery) == codes.RECOVERY_CODES
    page.click("text=Sign out")
    person.sign_in(customer, PASSWORD)
    expect(page.locator("h1")).to_have_text("Second factor")
    person.looked_at("sign-in-code", kept=False)
    page.fill("#code", recovery[0])
    page.click("main button")
    expect(page.locator("h1")).to_have_text("Servers")

    page.click("text=Sign out")
    expect(page.locator("h1")).to_have_text("Sign in")
    page.go_back()
    person.go(here)
    expect(page.locator("h1")).to_have_text("Sign in")
    for _ in range(FOR_ONE_EMAIL):
        person.sign_in(customer, "a wrong password")
        expect(page.locator("[role=alert]")).to_contain_text("wrong")
    person.sign_in(customer, PASSWORD)
    expect(page.locator("[role=alert]")).to_contain_text("Too many failed attempts")
    person.context.close()
