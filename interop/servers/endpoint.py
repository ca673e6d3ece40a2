"""What the servers in Python have in common: command line, handshake, bounded queues, heartbeat, the end.

It knows RFC 6455 and no protocol above it. A service has `path`, `subprotocol` and `open(connection)`,
which returns a session: `message(text or bytes)` for each message, and `left(why)` once at the end.
When the server is told to stop, the service's `draining` becomes true.
"""

import argparse
import asyncio
import logging
import os
import re
import signal
import socket
import threading
from collections import deque
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Opcode
from websockets.protocol import State

LINGER = 2.0  # seconds that a connection which is told to close may take
KERNEL_BYTES = 65536  # of the socket's own buffer
STALL = 0.05  # seconds that a tick may be late without moving those after it
LATE = "the reader is too slow"


class Connection(ServerConnection):
    """One connection. What waits for it is bounded; its end is told to the session once."""

    settings: argparse.Namespace  # set by `run`

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.receive = self.protocol.recv_frame
        self.protocol.recv_frame = self.frame
        self.session = None
        self.fragments = []
        self.is_text = False
        self.ended = False
        self.cut = False
        self.waiting = deque()
        self.waiting_bytes = 0
        self.beat = None

    def begin(self, service):
        """Opens the session, after the 101 response has been sent."""
        self.started = self.last_frame = self.loop.time()
        self.session = service.open(self)
        self.schedule(self.started + self.settings.heartbeat[0])

    def connection_made(self, transport):
        super().connection_made(transport)
        # What waits for a reader is bounded only if the kernel does not keep megabytes of it.
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)

    # Frames in.

    def process_event(self, event):
        if self.request is None:
            super().process_event(event)  # frames have been taken already

    def frame(self, frame):
        """Takes a frame as soon as it is parsed.

        The library would answer pings and a Close at once, before the application sees the messages that
        came with them. So replies, pongs and the Close leave in the order in which their causes came.
        """
        if frame.opcode is Opcode.CLOSE:
            # "Control frames MAY be injected in the middle of a fragmented message" (RFC 6455 section 5.4).
            # The library takes a Close there for a violation.
            self.protocol.current_size = None
        self.receive(frame)
        if self.session is not None:  # else it came before the response, which no client may do
            self.take(frame)

    def take(self, frame):
        self.last_frame = self.loop.time()
        if self.ended:
            return
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self.is_text = frame.opcode is Opcode.TEXT
            self.fragments.append(bytes(frame.data))
            if frame.fin:
                message = b"".join(self.fragments)
                self.fragments.clear()
                self.hear(message)
        elif frame.opcode is Opcode.PING and self.unsent() > self.settings.queue_bytes:
            # Who pings without reading would otherwise fill the memory with pongs.
            self.too_slow()

    def hear(self, message):
        if not self.is_text:
            self.session.message(message)
            return
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self.end(1007, "this is not UTF-8")
            return
        self.session.message(text)

    def data_received(self, data):
        super().data_received(data)
        # A Close has come, or the library has failed the connection: with 1002, 1009 and so on.
        if self.session is not None and self.protocol.state is not State.OPEN:
            self.gone("closed")

    def connection_lost(self, exc):
        super().connection_lost(exc)
        if self.session is not None:
            self.gone("closed")

    # Frames out.

    def push(self, text):
        """Sends a text, now or when the socket takes it."""
        if self.ended or self.cut:
            return
        data = text.encode()
        if not self.paused and not self.waiting:
            self.write(data)
            return
        self.waiting.append(data)
        self.waiting_bytes += len(data)
        if self.waiting_bytes > self.settings.queue_bytes and len(self.waiting) > 1:
            self.too_slow()

    def write(self, data):
        # A socket that broke in the middle of this turn is told of in the next one.
        if self.protocol.state is State.OPEN and not self.transport.is_closing():
            self.protocol.send_text(data)
            self.send_data()

    def resume_writing(self):
        super().resume_writing()
        while self.waiting and not self.paused:
            data = self.waiting.popleft()
            self.waiting_bytes -= len(data)
            self.write(data)

    def unsent(self):
        return self.transport.get_write_buffer_size()

    def too_slow(self):
        """Ends it after what is being broadcast has gone to all, so that all hear the same order."""
        self.cut = True
        self.waiting.clear()
        self.loop.call_soon(self.end, 4008, LATE, "slow")

    # Heartbeat and end.

    def schedule(self, due):
        if self.settings.heartbeat[0] > 0:
            self.beat = self.loop.call_at(due, self.tick, due)

    def tick(self, due):
        interval, timeout = self.settings.heartbeat
        if due - self.last_frame > timeout:
            self.end(4000, "heartbeat timeout", "timeout")
        elif self.protocol.state is State.OPEN:
            self.protocol.send_ping(b"")
            self.send_data()
            # When this process stood still, there has to be time to answer the ping that was late.
            now = self.loop.time()
            self.schedule((due if now - due < STALL else now) + interval)

    def end(self, code, reason, why="closed"):
        """Closes with a Close frame; what still waits is not sent."""
        if self.ended:
            return
        self.gone(why)
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code, reason)
            self.send_data()

    def gone(self, why):
        if self.ended:
            return
        self.ended = True
        self.waiting.clear()
        if self.beat is not None:
            self.beat.cancel()
        self.loop.call_later(LINGER, self.transport.abort)
        self.session.left(why)


def refusal(connection, request, service, settings):
    """The response to an upgrade that is not to be, before the library judges the rest; else None."""
    if request.path.partition("?")[0] != service.path:
        return connection.respond(HTTPStatus.NOT_FOUND, "There is nothing here.\n")
    version = request.headers.get_all("Sec-WebSocket-Version")
    if version and version != ["13"]:
        response = connection.respond(HTTPStatus.UPGRADE_REQUIRED, "The version is 13.\n")
        response.headers["Sec-WebSocket-Version"] = "13"
        return response
    offers = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    offers = [offer.strip() for offer in offers.split(",")]
    missing = service.subprotocol and offers != [""] and service.subprotocol not in offers
    if missing or not request.headers.get_all("Host"):
        return connection.respond(HTTPStatus.BAD_REQUEST, "Not this subprotocol, or no host.\n")
    if len(connection.server.connections) >= settings.max_connections:
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many connections.\n")
    return None


def duration(text):
    match = re.fullmatch(r"(\d+)(ms|s)", text)
    if match is None:
        raise argparse.ArgumentTypeError("a duration is such as 250ms or 30s")
    return int(match[1]) / (1000 if match[2] == "ms" else 1)


def heartbeat(text):
    interval, slash, timeout = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError("a heartbeat is INTERVAL/TIMEOUT")
    return duration(interval), duration(timeout)


def options(beat):
    """The command line's parser, with the options that all servers have."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--heartbeat", type=heartbeat, default=heartbeat(beat))
    parser.add_argument("--max-connections", type=int, default=20000)
    parser.add_argument("--queue-bytes", type=int, default=1048576)
    return parser


def run(service, settings, message_bytes=65536, drain=0.0):
    """Serves until SIGTERM, SIGINT or the end of standard input."""
    asyncio.run(until_told(service, settings, message_bytes, drain))


async def until_told(service, settings, message_bytes, drain):
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    threading.Thread(target=await_end_of_input, args=(loop, told), daemon=True).start()

    quiet = logging.Logger("websockets")
    quiet.addHandler(logging.NullHandler())
    Connection.settings = settings

    async def handle(connection):
        connection.begin(service)
        await connection.wait_closed()

    def select(connection, offers):
        return service.subprotocol if service.subprotocol in offers else None

    server = await serve(
        handle,
        "127.0.0.1",
        settings.port,
        backlog=1024,
        create_connection=Connection,
        process_request=lambda connection, request: refusal(connection, request, service, settings),
        select_subprotocol=select,
        compression=None,
        ping_interval=None,
        close_timeout=LINGER,
        max_size=message_bytes or None,
        logger=quiet,
    )
    port = server.sockets[0].getsockname()[1]
    print(f"listening on ws://127.0.0.1:{port}", flush=True)
    await told.wait()

    service.draining = True
    server.close(close_connections=False)
    connections = list(server.connections)
    for index, connection in enumerate(connections):
        when = drain * index / len(connections)
        loop.call_later(when, connection.end, 1001, "the server stops")
    await server.wait_closed()


def await_end_of_input(loop, told):
    # Not sys.stdin: its lock would be held when the interpreter ends.
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    loop.call_soon_threadsafe(told.set)
