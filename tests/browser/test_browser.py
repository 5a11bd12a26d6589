"""The pages in a real browser: Chromium logs in at the sandbox, which redirects it to a login that listens.

The tests save screenshots of every page to <target>/screenshots: in a light desktop window, and on a dark phone.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cmauth
import pytest
from cmauth.testing import Sandbox
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

SCREENSHOTS = Path(os.environ.get("CARGO_TARGET_DIR", "target"), "screenshots")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


class Browser:
    def __init__(self, driver: webdriver.Chrome, name: str) -> None:
        self.driver = driver
        self.name = name

    def open(self, url: str) -> None:
        self.driver.get(url)

    def wait_for(self, text: str) -> None:
        try:
            WebDriverWait(self.driver, 20).until(lambda _: text in self.text())
        except TimeoutException:
            raise AssertionError(f"{text!r} is not on the page: {self.text()}") from None
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        file = "".join(c if c.isalnum() else "-" for c in f"{self.name} {text}".lower())
        self.driver.save_screenshot(str(SCREENSHOTS / f"{file}.png"))
        self.fits()

    def text(self) -> str:
        found: str = self.driver.execute_script("return document.body ? document.body.innerText : ''")
        return found

    def fits(self) -> None:
        """Checks that the page is not wider than the window, and that buttons are large enough for a thumb."""
        script = "return [document.documentElement.scrollWidth, window.innerWidth]"
        page, window = self.driver.execute_script(script)
        assert page <= window
        for button in self.driver.find_elements(By.CSS_SELECTOR, "button"):
            assert button.size["height"] >= 40

    def fill(self, name: str, password: str) -> None:
        for field, value in (("username", name), ("password", password)):
            element = self.driver.find_element(By.NAME, field)
            element.clear()
            element.send_keys(value)

    def press(self, label: str) -> None:
        for button in self.driver.find_elements(By.TAG_NAME, "button"):
            if button.text == label:
                button.click()
                return
        raise AssertionError(f"no button {label!r}: {self.text()}")

    def mark(self) -> tuple[str, tuple[int, ...]]:
        """The sign on the last page of a login, and its colour. Checks that both can be seen."""
        mark = self.driver.find_element(By.CLASS_NAME, "mark")
        colour, sign_colour = (rgb(mark.value_of_css_property(name)) for name in ("background-color", "color"))
        page_colour = rgb(self.driver.find_element(By.TAG_NAME, "main").value_of_css_property("background-color"))
        # The least for signs that are not text (WCAG 2.1, 1.4.11).
        assert contrast(colour, page_colour) >= 3
        assert contrast(colour, sign_colour) >= 3
        return mark.text, colour

    def keys(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()


def rgb(css: str) -> tuple[int, ...]:
    red, green, blue = (int(number) for number in re.findall(r"\d+", css)[:3])
    return red, green, blue


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast ratio of two colours (WCAG 2.1)."""

    def luminance(colour: tuple[int, ...]) -> float:
        parts = (part / 255 for part in colour)
        linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))

    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.fixture(params=["desktop light", "phone dark"])
def browser(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Browser]:
    program, driver_program = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver_program:
        assert "CI" not in os.environ, "CI must have chromium and its driver: see scripts/setup-ci"
        pytest.skip("chromium or its driver is not installed: make setup-ci")
    size, scheme = request.param.split()
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.accept_insecure_certs = True
    width, height = SIZES[size]
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-proxy-server",
        f"--window-size={width},{height}",
        f"--user-data-dir={tmp_path}",
        *(["--force-dark-mode"] if scheme == "dark" else []),
    ):
        options.add_argument(argument)
    if size == "phone":
        metrics = {"width": width, "height": height, "pixelRatio": 2.0, "touch": True}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_program))
    try:
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        yield Browser(driver, request.param)
    finally:
        driver.quit()


class WaitingLogin:
    """A login that waits for the redirect in a thread."""

    def __init__(self, client: cmauth.Client, message: str | None = None) -> None:
        self.login = client.listen()
        if message:
            self.login.set_message(message)
        self.outcome: Any = None
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self.outcome = self.login.wait(60)
        except cmauth.Error as error:
            self.outcome = error

    def end(self) -> Any:
        self._thread.join()
        return self.outcome


@pytest.fixture
def begin(cmauth_sandbox: Sandbox) -> Iterator[Callable[..., WaitingLogin]]:
    client = cmauth_sandbox.client()
    begun: list[WaitingLogin] = []

    def begin(message: str | None = None) -> WaitingLogin:
        begun.append(WaitingLogin(client, message))
        return begun[-1]

    yield begin
    for waiting in begun:
        waiting.login.cancel()
        waiting.end()


def test_logs_in_and_the_second_time_without_the_login_page(
    browser: Browser, begin: Callable[..., WaitingLogin]
) -> None:
    first = begin("Recorder 7 is connected.\nYou can close this page.")
    browser.open(first.login.url)
    browser.wait_for("Log in")
    browser.fill("demo", "wrong")
    browser.press("Log in")
    browser.wait_for("not")
    browser.fill("demo", "demo")
    browser.press("Log in")
    browser.wait_for("Approve")
    # The user may go back and reload.
    browser.driver.back()
    browser.driver.forward()
    browser.driver.refresh()
    browser.wait_for("Approve")
    browser.press("Approve")
    browser.wait_for("Recorder 7 is connected.")
    assert first.end().refresh_token
    assert "script" not in browser.driver.page_source

    second = begin()
    browser.open(second.login.url)
    browser.wait_for("You are logged in.")
    assert second.end().refresh_token
    # The login no longer listens, so a reload fails.
    browser.driver.refresh()
    assert "You are logged in" not in browser.text()


def test_the_page_speaks_the_language_and_names_the_product_of_the_program(
    browser: Browser, begin: Callable[..., WaitingLogin]
) -> None:
    waiting = begin()
    waiting.login.set_page(language="ar", title="دخول", success="تم تسجيل الدخول", failure="x", product="Recorder <7>")
    browser.open(waiting.login.url)
    browser.fill("demo", "demo")
    browser.press("Log in")
    browser.wait_for("Approve")
    browser.press("Approve")
    browser.wait_for("تم تسجيل الدخول")
    assert "Recorder <7>" in browser.text()
    assert browser.driver.title == "دخول - Recorder <7>"
    root = browser.driver.find_element(By.TAG_NAME, "html")
    assert (root.get_attribute("lang"), root.get_attribute("dir")) == ("ar", "rtl")
    assert waiting.end().refresh_token


def deny(browser: Browser, waiting: WaitingLogin) -> None:
    """Logs in as demo, and refuses the access."""
    browser.open(waiting.login.url)
    browser.fill("demo", "demo")
    browser.press("Log in")
    browser.wait_for("Deny")
    browser.press("Deny")
    browser.wait_for("You did not allow the access.")


def test_denies(browser: Browser, begin: Callable[..., WaitingLogin]) -> None:
    waiting = begin()
    deny(browser, waiting)
    assert waiting.end().status is cmauth.Status.ACCESS_DENIED


def test_success_and_refusal_differ_in_colour_and_sign(browser: Browser, begin: Callable[..., WaitingLogin]) -> None:
    refused = begin()
    deny(browser, refused)
    bad_sign, (bad_red, bad_green, _) = browser.mark()
    succeeded = begin()
    browser.open(succeeded.login.url)
    browser.wait_for("Approve")
    browser.press("Approve")
    browser.wait_for("You are logged in.")
    good_sign, (good_red, good_green, _) = browser.mark()
    assert (bad_sign, good_sign) == ("!", "\N{CHECK MARK}")
    assert bad_red > bad_green
    assert good_green > good_red


def test_logs_in_by_keyboard_alone(browser: Browser, begin: Callable[..., WaitingLogin]) -> None:
    waiting = begin()
    browser.open(waiting.login.url)
    browser.wait_for("Log in")
    # The first field has the focus.
    browser.keys("demo", Keys.TAB, "demo", Keys.ENTER)
    browser.wait_for("Approve")
    focused = browser.driver.switch_to.active_element
    for _ in range(10):
        if focused.text == "Approve":
            break
        browser.keys(Keys.TAB)
        focused = browser.driver.switch_to.active_element
    assert focused.text == "Approve"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.driver.execute_script(outline) != "none"
    browser.keys(Keys.ENTER)
    browser.wait_for("You are logged in.")
    assert waiting.end().access_token


def test_error_pages_of_the_server_and_of_the_login(
    browser: Browser, cmauth_sandbox: Sandbox, begin: Callable[..., WaitingLogin]
) -> None:
    browser.open(f"{cmauth_sandbox.url}/oauth/authorize?response_type=code&client_id=nobody")
    browser.fill("demo", "demo")
    browser.press("Log in")
    browser.wait_for("This login cannot continue")
    waiting = begin()
    port = waiting.login.url.split("127.0.0.1%3A")[1].split("%2F")[0]
    browser.open(f"http://127.0.0.1:{port}/?code=x&state=forged")
    browser.wait_for("This address is only for a login.")
    waiting.login.cancel()
    assert waiting.end().status is cmauth.Status.CANCELLED
