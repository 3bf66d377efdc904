"""The server: refuses strangers, streams frames, obeys its pages, and ends without them."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from common.errors import UserError
from common.processes import foreign_children
from common.viewer import films
from tests.helpers.command_line import ROOT

pytest.importorskip("starlette", reason="the page needs starlette")
uvicorn = pytest.importorskip("uvicorn", reason="the page needs uvicorn")
client = pytest.importorskip("websockets.sync.client", reason="the page needs websockets")

from common.viewer import server as viewer_server  # noqa: E402 (its packages are optional)

TOKEN = "a-token"


class Served:
    """A session behind its server, in a thread."""

    def __init__(self, session, grace=60.0):
        self.listener = viewer_server.listen(0)
        self.port = self.listener.getsockname()[1]
        self.player = viewer_server.Player(session, grace)
        config = uvicorn.Config(
            viewer_server.application(self.player, self.port, TOKEN), log_level="warning", lifespan="off",
            ws="websockets-sansio", timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        run = lambda: asyncio.run(viewer_server.run(self.server, self.player, self.listener))
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def get(self, path, **headers):
        """Return status, headers and body of a GET request."""
        sent = {"Host": f"127.0.0.1:{self.port}", **{key.replace("_", "-"): value for key, value in headers.items()}}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    @property
    def cookie(self):
        return f"dreamer-{self.port}={TOKEN}"

    @contextlib.contextmanager
    def page(self, origin="http://127.0.0.1:{port}", query=f"?token={TOKEN}", **headers):
        """Connect to the socket as a page does."""
        address = f"ws://127.0.0.1:{self.port}/socket{query}"
        with client.connect(
            address, origin=origin and origin.format(port=self.port), additional_headers=headers, max_size=None
        ) as page:
            yield page

    def stop(self):
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def served(make_session):
    """Return a function that serves a session; its server ends with the test."""
    running = []

    def serve(algos=("v1", "v2", "v3"), task="dummy_mixed", **options):
        running.append(Served(make_session(algos, task), **options))
        return running[-1]

    yield serve
    for one in running:
        one.stop()


def receive(page, kind="frame"):
    """Return the next message of a kind; frames have their pictures as arrays."""
    while True:
        data = page.recv(timeout=30)
        if isinstance(data, bytes):
            length = struct.unpack("<I", data[:4])[0]
            found, start = json.loads(data[4 : 4 + length]), 4 + length
            if kind == "frame":
                found["images"] = []
                for height, width in filter(None, found["pictures"]):
                    size = 3 * height * width
                    found["images"].append(np.frombuffer(data, np.uint8, size, start).reshape(height, width, 3))
                    start += size
                assert start == len(data)
                return found
        elif (found := json.loads(data))["kind"] == kind:
            return found


def ask(page, do, **rest):
    page.send(json.dumps({"do": do, **rest}))


def test_only_its_own_page_with_the_token_gets_an_answer(served):
    one = served(["v1"])
    good = f"/?token={TOKEN}"
    status, headers, body = one.get(good)
    assert (status, b"/page/app.js" in body) == (200, True)
    assert headers["Set-Cookie"] == f"{one.cookie}; HttpOnly; SameSite=Strict; Path=/"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert one.get("/page/app.js", Cookie=one.cookie)[0] == 200
    assert one.get(good, Host=f"localhost:{one.port}")[0] == 200
    for path, sent in [
        ("/", {}),
        ("/?token=wrong", {}),
        ("/page/app.js", {}),
        ("/page/app.js", {"Cookie": f"dreamer-{one.port}=wrong"}),
        (good, {"Host": f"evil.example:{one.port}"}),  # a name that resolves to loopback
        (good, {"Host": "127.0.0.1:1"}),
        (good, {"Origin": "http://evil.example"}),
        (good, {"Origin": "null"}),
        ("/clip?steps=3", {}),
    ]:
        status, headers, body = one.get(path, **sent)
        assert (status, headers["Set-Cookie"]) == (403, None), (path, sent)
        assert TOKEN.encode() not in body
    assert one.get("/page/../gate.py", Cookie=one.cookie)[0] == 404


@pytest.mark.parametrize(
    "wrong", [{"origin": "http://evil.example"}, {"origin": None}, {"query": ""}, {"query": "?token=wrong"}]
)
def test_sockets_of_strangers_are_refused(served, wrong):
    one = served(["v1"])
    with pytest.raises(Exception, match="403"), one.page(**wrong):
        pass
    with one.page(query="", Cookie=one.cookie) as page:
        assert receive(page, "hello")["task"] == "dummy_mixed"


def test_it_listens_on_loopback_only(served):
    assert served(["v1"]).listener.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_is_one_message(served):
    one = served(["v1"])
    with pytest.raises(UserError, match=rf"Port {one.port} cannot be used: .*--port 0"):
        viewer_server.listen(one.port)


def test_frames_stream_with_pictures_and_numbers(served):
    with served().page() as page:
        hello = receive(page, "hello")
        assert [run["algo"] for run in hello["runs"]] == ["v1", "v2", "v3"]
        assert len(hello["history"]) >= 1
        assert hello["actions"]["kind"] == "discrete"
        frames = [receive(page) for _ in range(8)]
    steps = [frame["step"] for frame in frames]
    assert steps == list(range(steps[0], steps[0] + 8))
    assert all(len(frame["images"]) == 4 for frame in frames)
    assert {image.shape for frame in frames for image in frame["images"]} == {(64, 64, 3)}
    assert frames[-1]["imagined"] > 0
    assert len({tuple(frame["action"] or ()) for frame in frames}) > 1  # an untrained agent samples


def test_a_page_pauses_steps_acts_and_changes_the_view(served):
    with served().page() as page:
        ask(page, "change", name="paused", value=True)
        while not receive(page, "settings")["settings"]["paused"]:
            pass
        receive(page)
        ask(page, "change", name="who", value="human")
        ask(page, "hold", action=[3])
        ask(page, "step")
        receive(page)  # of the changed setting
        model = receive(page)
        assert model["action"] == [3]
        ask(page, "change", name="view", value="real")
        real = receive(page)
        assert real["step"] == model["step"]
        assert all(np.array_equal(image, real["images"][0]) for image in real["images"])
        assert not np.array_equal(model["images"][1], real["images"][1])
        ask(page, "full_reset")
        assert receive(page)["step"] == 1
        ask(page, "new_start")
        assert receive(page)["episode"] > 1


def test_wrong_messages_are_answered_and_change_nothing(served):
    one = served(["v1"])
    with one.page() as page:
        for text in (
            "{",
            "[]",
            '{"do": 1}',
            '{"do": "exit"}',
            '{"do": "hold"}',
            '{"do": "change", "name": "who"}',
            b"x",
        ):
            page.send(text)
            if isinstance(text, bytes):
                break
            assert receive(page, "notice")["text"]
            assert receive(page, "settings")["settings"]["speed"] == 15  # its field shows the value in use again
    with one.page() as page:  # the server lives
        assert receive(page)["step"] > 0
    assert one.player.session.settings == one.player.session.defaults


def test_clips_are_downloaded(served):
    one = served(["v1"])
    with one.page() as page:
        for _ in range(3):
            receive(page)
        status, headers, data = one.get("/clip?steps=2", Cookie=one.cookie)
        assert (status, headers["Content-Type"], data[:6]) == (200, "image/gif", b"GIF89a")
        assert one.get("/clip?steps=2&format=exe", Cookie=one.cookie)[0] == 400
        status, headers, data = one.get("/clip?steps=2&format=mp4", Cookie=one.cookie)
        if films.is_available(".mp4"):
            assert (status, headers["Content-Type"], data[4:8]) == (200, "video/mp4", b"ftyp")
        else:
            assert (status, b"pip install imageio-ffmpeg" in data) == (400, True)


def test_a_page_that_vanishes_ends_the_server_after_the_grace_time(served):
    one = served(["v1"], grace=0.2)
    with one.page() as page:
        receive(page)
        assert one.thread.is_alive()
    one.thread.join(20)
    assert not one.thread.is_alive()
    assert one.player.error is None


def test_an_environment_that_is_given_up_ends_the_server_with_its_error(served):
    one = served(["v1"])

    def fail():
        raise UserError("Environment 0 broke")

    with one.page() as page:
        one.player.session.step = fail
        assert receive(page, "notice")["text"] == "Environment 0 broke"
        one.thread.join(20)
    assert str(one.player.error) == "Environment 0 broke"


def test_a_browser_opens_the_address_and_is_not_a_child(tmp_path, monkeypatch, capfd):
    script = tmp_path / "browser"
    script.write_text(f"#!/bin/sh\necho $1 > {tmp_path}/address\nexec sleep 5\n")
    script.chmod(0o755)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "darwin":
        viewer_server.open_browser("http://127.0.0.1:1/")
        assert "open the address yourself" in capfd.readouterr().err
    monkeypatch.setenv("BROWSER", f"{script} %s &")
    before = foreign_children()
    viewer_server.open_browser("http://127.0.0.1:1/?token=a")
    assert foreign_children() <= before
    end = time.monotonic() + 20
    while not (tmp_path / "address").exists() or not (tmp_path / "address").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (tmp_path / "address").read_text().strip() == "http://127.0.0.1:1/?token=a"


@pytest.fixture
def started(tmp_path):
    """Return a function that starts a command and returns its process and the address that it prints."""
    processes = []

    def start(*words):
        command = [sys.executable, str(ROOT / "dreamer.py"), *words, "--no-browser", "--port", "0"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", process.stdout.readline())

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_command_ends_when_its_page_vanishes_and_at_once_with_ctrl_c(started):
    process, address = started("play", "--task", "dummy_mixed", "--grace", "0.3")
    port, token = address.groups()
    with client.connect(
        f"ws://127.0.0.1:{port}/socket?token={token}", origin=f"http://127.0.0.1:{port}", max_size=None
    ) as page:
        assert receive(page, "hello")["runs"] == []
        assert receive(page)["step"] > 0
    assert process.wait(30) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(port)), 5)
    process, address = started("play", "--task", "dummy_mixed")
    port, token = address.groups()
    with client.connect(f"ws://127.0.0.1:{port}/socket?token={token}", origin=f"http://127.0.0.1:{port}") as page:
        receive(page)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert time.monotonic() - begin < 15
