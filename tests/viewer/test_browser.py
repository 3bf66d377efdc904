"""The page in a real browser, where Chromium is installed."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from gymnasium import spaces

from common.viewer.actions import Actions
from tests.helpers import browser
from tests.helpers.command_line import ROOT

pytest.importorskip("uvicorn", reason="the page needs uvicorn")
pytest.importorskip("websockets.sync.client", reason="the page needs websockets")
pytestmark = pytest.mark.skipif(not browser.executable(), reason="no Chromium is installed")

STEP = "Number(document.getElementById('fact-step').textContent)"
PAUSED = "document.getElementById('pause-text').textContent === 'Play'"
BADGES = "[...document.querySelectorAll('.card .badge')].map(badge => badge.textContent)"
PIXELS = """[...document.querySelectorAll('.card canvas[role=img]')].filter(canvas => canvas.closest('.picture'))
    .map(canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.join())"""
PRESSED = "[...document.querySelectorAll('[data-setting=\"{}\"] [aria-pressed=true]')].map(b => b.dataset.value).join()"


@pytest.fixture(scope="module")
def served(run_folder, tmp_path_factory):
    """Return a function that starts a command once and returns the address of its page."""
    processes = {}

    def serve(*words):
        if words not in processes:
            command = [sys.executable, str(ROOT / "dreamer.py"), *words, "--no-browser", "--port", "0"]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            folder = tmp_path_factory.mktemp("page")
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
            processes[words] = process, re.search(r"http://\S+", process.stdout.readline())[0]
        return processes[words][1]

    serve.processes = processes
    yield serve
    for process, _ in processes.values():
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def dreams(served, run_folder):
    """Open the page of three dreams, as after a full reset."""
    runs = [str(run_folder(algo, "dummy_mixed")) for algo in ("v1", "v2", "v3")]
    with browser.browser(served("dream", "--logdirs", *runs)) as page:
        page.wait(f"{STEP} > 0")
        if page.run(PAUSED):
            page.press("p")
        page.press("x")
        page.wait(f"!({PAUSED}) && {STEP} < 20")
        yield page
        assert page.errors == []


def test_three_dreams_stay_in_step(dreams):
    dreams.wait(f"{BADGES}[1].startsWith('dream')")
    for _ in range(10):
        others = dreams.run(BADGES)[1:]
        assert len(set(others)) == 1, others
        time.sleep(0.05)
    pictures = dreams.run(PIXELS)
    assert len(set(pictures)) == 4


def pause(page):
    page.press("p")
    page.wait(PAUSED)


def step(page):
    before = page.run(STEP)
    page.press(".")
    page.wait(f"{STEP} === {before + 1}")


def test_keys_change_the_dream(dreams):
    pause(dreams)
    dreams.press("h")
    dreams.press("l")
    dreams.wait(f"{PRESSED.format('who')} === 'human' && {PRESSED.format('latent')} === 'mode'")
    for _ in range(6):
        step(dreams)
    dreams.press("o")  # longer dreams, so that none starts again
    shown = {}
    for digit in "02":
        dreams.press("b")
        dreams.key("keyDown", f"Digit{digit}", digit)
        for _ in range(3):
            step(dreams)
        dreams.key("keyUp", f"Digit{digit}", digit)
        shown[digit] = dreams.run(PIXELS)
        assert dreams.run("document.querySelector('#inputs [aria-pressed=true]').firstChild.textContent") == digit
    assert all(one != two for one, two in zip(shown["0"], shown["2"], strict=True))


def test_the_view_changes_at_once_also_in_a_pause(dreams):
    pause(dreams)
    model = dreams.run(PIXELS)
    dreams.press("v")
    dreams.wait(f"{PRESSED.format('view')} === 'difference'")
    dreams.wait(f"!({PIXELS}.slice(1).join('|') === {model[1:]!r}.join('|'))")
    dreams.press("v")
    dreams.wait(f"new Set({PIXELS}).size === 1")  # real: all as in the environment


def test_the_keyboard_alone_reaches_every_control(dreams):
    focusable = dreams.run("document.querySelectorAll('#controls button, #controls input, #controls select').length")
    reached = set()
    for _ in range(focusable):
        dreams.key("keyDown", "Tab", "Tab")
        dreams.key("keyUp", "Tab", "Tab")
        reached.add(dreams.run("document.activeElement.id || document.activeElement.textContent"))
    assert len(reached) == focusable
    assert dreams.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_page_fits_its_window_and_does_not_jump(width, height, scheme, dreams, tmp_path):
    dreams.resize(width, height, scheme, mobile=width < 700)
    dreams.wait(f"{BADGES}[1].startsWith('dream')")
    found = "[...document.querySelectorAll('.card, #hand, .chart, button')]"
    boxes = f"{found}.map(element => JSON.stringify(element.getBoundingClientRect()))"
    before = dreams.run(boxes)
    begin = dreams.run(STEP)
    dreams.wait(f"{STEP} > {begin + 5}")
    assert dreams.run(boxes) == before
    assert dreams.run("document.documentElement.scrollWidth") <= width
    background = dreams.run("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) > 384) == (scheme == "light")
    dreams.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_continuous_action_follows_keys_and_mouse(served):
    with browser.browser(served("play", "--task", "dummy_pixels")) as page:
        page.wait(f"{STEP} > 0")
        value = "document.querySelector('#inputs output').textContent"
        page.key("keyDown", "ArrowRight", "ArrowRight")
        page.wait(f"{value} === '1.00'")
        page.wait("document.querySelectorAll('.card .value')[2].textContent === '1.00'")
        page.key("keyUp", "ArrowRight", "ArrowRight")
        page.wait(f"{value} === '0.00'")
        left, top, width = page.run(
            "(({x, y, width}) => [x, y, width])(document.querySelector('.picture canvas').getBoundingClientRect())"
        )
        place = {"x": left + width / 4, "y": top + 20, "button": "left", "buttons": 1}
        page.call("Input.dispatchMouseEvent", type="mousePressed", **place)
        page.wait(f"{value} === '-0.50'")
        assert page.errors == []


def hold_gamepad(page, axes=(0, 0), pressed=(), connected=True):
    """Replace the browser's gamepads by one in a state: axes from -1 to 1 (down is positive), and pressed buttons."""
    buttons = [{"pressed": number in pressed} for number in range(16)]
    pad = json.dumps({"connected": connected, "axes": axes, "buttons": buttons})
    page.run(f"void (navigator.getGamepads = () => [null, {pad}])")


def test_a_gamepad_sets_a_continuous_action(served):
    with browser.browser(served("play", "--task", "dummy_pixels")) as page:
        page.wait(f"{STEP} > 0")
        shown = "document.querySelectorAll('.card .value')[2].textContent"  # what the environment took
        hold_gamepad(page, axes=(-0.5, 0.7))
        page.wait(f"{shown} === '-0.50'")
        hold_gamepad(page, axes=(0.1, 0))  # a stick that does not rest exactly in the middle
        page.wait(f"{shown} === '0.00'")
        hold_gamepad(page, axes=(1, 0))
        page.wait(f"{shown} === '1.00'")
        hold_gamepad(page, axes=(1, 0), connected=False)
        page.wait(f"{shown} === '0.00'")
        assert page.errors == []


def test_stick_cross_and_first_button_of_a_gamepad_are_arrows_and_space_bar(served):
    names = ["NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "LEFTFIRE"]
    described = json.dumps(Actions(spaces.Discrete(len(names)), names).describe())
    with browser.browser(served("play", "--task", "dummy_pixels")) as page:
        made = f"new Hand({described}, (action) => (window.sent = action[0]), document.createElement('div'))"
        page.run(f"import('/page/hand.js').then(({{ Hand }}) => void (window.made = {made}))")
        for name, state in {
            "RIGHT": {"axes": (0.9, 0)},
            "UPRIGHT": {"axes": (0.9, -0.9)},
            "DOWN": {"axes": (0, 0.9)},
            "UP": {"pressed": (12,)},
            "LEFT": {"pressed": (14,)},
            "LEFTFIRE": {"axes": (-0.9, 0.2), "pressed": (0,)},
            "FIRE": {"pressed": (0,)},
            "NOOP": {},
        }.items():
            hold_gamepad(page, **state)
            assert names[page.run("(window.made.poll(), window.sent)")] == name
        hold_gamepad(page, pressed=(0,))
        page.run("window.made.poll()")
        hold_gamepad(page, pressed=(0,), connected=False)
        assert page.run("(window.made.poll(), window.sent)") == names.index("NOOP")


def test_a_vanished_command_is_reported(served):
    address = served("play", "--task", "dummy_pixels_7")
    with browser.browser(address) as page:
        page.wait(f"{STEP} > 0")
        served.processes["play", "--task", "dummy_pixels_7"][0].kill()
        page.wait("document.getElementById('notice').textContent.includes('The command has ended')")
