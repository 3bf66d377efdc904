"""The server of a session: a page on loopback, a socket that streams frames, and clips to download.

Steps run in the event loop's own thread, the main one: renderers belong to the thread that made them, and only there
can `env.timeout` interrupt an environment.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from common.errors import UserError
from common.viewer import films, messages
from common.viewer.frames import Frame
from common.viewer.gate import Gate
from common.viewer.session import HISTORY_STEPS, Session

HOST = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
FIRST_PAGE_SECONDS = 600.0  # for the first page to connect
MEDIA_TYPES = {".gif": "image/gif", ".mp4": "video/mp4"}


def serve(session: Session, *, port: int, browser: bool, grace: float) -> None:
    """Serve a session until Ctrl-C, or until no page was connected for `grace` seconds.

    port: 0 for any free one. browser: whether to open the page.

    Raises:
        UserError: the port is in use, or the environment failed too often.
    """
    with listen(port) as listener:
        token, port = secrets.token_urlsafe(24), listener.getsockname()[1]
        address = f"http://{HOST}:{port}/?token={token}"
        player = Player(session, grace)
        config = uvicorn.Config(
            application(player, port, token), log_level="warning", lifespan="off", ws="websockets-sansio",
            ws_max_size=messages.MAX_MESSAGE_BYTES, timeout_graceful_shutdown=1,
        )  # fmt: skip
        print(
            f"Open {address}\nCtrl-C ends it. It also ends {grace:g} seconds after the last page is closed.", flush=True
        )
        if browser:
            threading.Thread(target=open_browser, args=(address,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(uvicorn.Server(config), player, listener))
    if player.error:
        raise player.error


def open_browser(address: str) -> None:
    """Open the address in a browser with a window; a text browser would take the terminal.

    A process between this one and the browser ends at once, so that the browser is not a child of the command, whose
    children end with it.
    """
    windows = sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    try:
        found = windows and webbrowser.get()
    except webbrowser.Error:
        found = False
    if found:
        subprocess.run([sys.executable, "-m", "webbrowser", address], stdout=subprocess.DEVNULL, check=False)
    else:
        print("No browser with a window was found: open the address yourself.", file=sys.stderr, flush=True)


def listen(port: int) -> socket.socket:
    """Return a listening socket on loopback. Raises UserError if the port cannot be used."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Port {port} cannot be used: {reason}. Choose another, or any free one: --port 0.") from error
    return listener


async def run(server: uvicorn.Server, player: "Player", listener: socket.socket) -> None:
    """Serve and play until one of them ends."""
    playing = asyncio.create_task(player.play())
    playing.add_done_callback(lambda _: setattr(server, "should_exit", True))
    try:
        await server.serve(sockets=[listener])
    finally:
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing


def application(player: "Player", port: int, token: str) -> Starlette:
    """Return the application behind its gate."""
    routes = [
        Route("/", lambda request: FileResponse(PAGE / "index.html")),
        Route("/clip", player.clip),
        WebSocketRoute("/socket", player.connect),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Gate, port=port, token=token)])


class Player:
    """Steps the session at its speed and sends each frame to all pages.

    error: why it stopped, if an environment failed too often.
    """

    def __init__(self, session: Session, grace: float):
        self.session, self.grace = session, grace
        self.pages: set[WebSocket] = set()
        self.error: UserError | None = None
        self.alone_until = time.monotonic() + max(FIRST_PAGE_SECONDS, grace)
        self.formats = [suffix for suffix in films.FORMATS if films.is_available(suffix)]

    async def play(self) -> None:
        """Step until no page is connected for too long."""
        due = time.monotonic()
        while self.pages or time.monotonic() < self.alone_until:
            if self.pages and not self.session.settings.paused:
                await self.advance()
            due = max(due + 1 / self.session.settings.speed, time.monotonic())
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self.error:
                return

    async def advance(self) -> None:
        """Take one step and send its frame."""
        try:
            frame = self.session.step()
        except UserError as error:
            self.error = error
            await self.send(messages.notice(str(error)))
            return
        await self.send_frame(frame)

    async def send_frame(self, frame: Frame) -> None:
        """Send a frame to all pages, and messages of the environment."""
        for text in self.session.environment.messages():
            await self.send(messages.notice(text))
        await self.send(messages.frame_bytes(self.session, frame))

    async def send(self, message: str | bytes) -> None:
        """Send a message to all pages; forget those that have gone."""
        for page in list(self.pages):
            try:
                await (page.send_text(message) if isinstance(message, str) else page.send_bytes(message))
            except (WebSocketDisconnect, RuntimeError):
                self.leave(page)

    async def connect(self, page: WebSocket) -> None:
        """Serve one page until it disconnects."""
        await page.accept()
        try:
            await page.send_text(messages.hello(self.session, self.formats))
            await page.send_bytes(messages.frame_bytes(self.session, self.session.history[-1]))
            self.pages.add(page)
            while True:
                await self.receive(page, await page.receive_text())
        except (WebSocketDisconnect, KeyError, RuntimeError):
            pass
        finally:
            self.leave(page)

    async def receive(self, page: WebSocket, text: str) -> None:
        """Do what a page asks for; answer errors to that page, and frames and settings to all."""
        try:
            message = messages.read(text)
            frames = messages.carry_out(self.session, message)
        except UserError as error:
            await page.send_text(messages.notice(str(error)))
            await page.send_text(messages.settings(self.session))  # a refused value is still in its field
            return
        if message["do"] in ("change", "full_reset"):
            await self.send(messages.settings(self.session))
        if message["do"] == "change":
            frames = [self.session.history[-1]]  # in the new view
        for frame in frames:
            await self.send_frame(frame)

    def leave(self, page: WebSocket) -> None:
        """Forget a page; without any, the time until the end begins."""
        if page in self.pages:
            self.pages.discard(page)
            self.alone_until = time.monotonic() + self.grace

    async def clip(self, request: Request) -> Response:
        """Return the last steps as a film; steps and format are in the address."""
        wanted, suffix = request.query_params.get("steps", ""), "." + request.query_params.get("format", "gif")
        steps = min(int(wanted), HISTORY_STEPS) if wanted.isdecimal() else HISTORY_STEPS
        try:
            films.check_format(suffix)
            pictures = films.film(self.session, max(1, steps))
            data = await asyncio.to_thread(films.encode, pictures, suffix, self.session.settings.speed)
        except UserError as error:
            return PlainTextResponse(str(error), 400)
        name = f"dream_{self.session.steps}{suffix}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type=MEDIA_TYPES[suffix], headers=headers)
