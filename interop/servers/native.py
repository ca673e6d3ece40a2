"""The native protocol, `tidemark.v1`, whole: docs/PROTOCOL.md in a language of its own.

Numbers in comments are rows of that document's table of errors and their precedence.
"""

import re
import secrets
import time
from datetime import UTC, datetime

import endpoint
from room import Member, Room, within
from strict import (
    ALPHABET,
    CODE,
    Object,
    Refusal,
    decode,
    encode,
    field,
    is_any_room,
    is_anything,
    is_capacity,
    is_count,
    is_filled,
    is_flag,
    is_id,
    is_membership,
    is_object,
    is_room,
    is_text,
    is_whole,
    size,
)

LIMITS = {
    "message_bytes": 65536,
    "rooms": 64,
    "room_name_bytes": 64,
    "queue_bytes": 1048576,
    "history_events": 256,
    "history_bytes": 524288,
    "history_ms": 120000,
    "storage_bytes": 1048576,
    "state_bytes": 4096,
    "requests_per_s": 1000,
}
USERNAME_CHARACTERS = 64
KEY_BYTES = 256
TYPING_SECONDS = 5.0
DRAIN_SECONDS = 0.5


def now():
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def merged(state, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(state) if isinstance(state, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def in_64_bits(value):
    """A state's value with integers that pass 64 bits made doubles."""
    if isinstance(value, dict):
        return {name: in_64_bits(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [in_64_bits(inner) for inner in value]
    return float(value) if is_whole(value) and not -(2**63) <= value < 2**64 else value


class Native:
    path = "/ws"
    subprotocol = "tidemark.v1"

    def __init__(self, limits, heartbeat):
        self.limits = limits
        self.heartbeat = {"interval_ms": round(heartbeat[0] * 1000), "timeout_ms": round(heartbeat[1] * 1000)}
        self.rooms = {}
        self.draining = False
        self.loop = None

    def open(self, connection):
        self.loop = connection.loop
        return Session(self, connection)

    def room(self, name):
        room = self.rooms.get(name)
        if room is not None and room.is_over():
            del self.rooms[name]
            return None
        return room

    def make(self, name, capacity=None):
        self.rooms[name] = Room(self, name, capacity)
        return self.rooms[name]

    def forget_later(self, room):
        def forget():
            if self.rooms.get(room.name) is room and room.is_over():
                del self.rooms[room.name]

        seconds = self.limits["history_ms"] / 1000
        if seconds > 0:
            self.loop.call_later(seconds + 0.01, forget)
        else:
            forget()

    def fresh_code(self):
        while True:
            code = "".join(secrets.choice(ALPHABET) for _ in range(6))
            if self.room(f"~{code}") is None:
                return code


class Session:
    """One connection, and one method for each request, `on_TYPE`."""

    def __init__(self, service, connection):
        self.service = service
        self.connection = connection
        self.id = secrets.token_urlsafe(16)
        self.username = self.id
        self.memberships = {}  # room → member
        self.re = {}
        rate = service.limits["requests_per_s"]
        self.allowed, self.refused, self.counted = float(rate), 0.0, time.monotonic()
        self.send(
            "welcome",
            connection=self.id,
            username=self.username,
            heartbeat=service.heartbeat,
            limits=service.limits,
            server="tidemark-interop-python/1",
        )

    def send(self, kind, **fields):
        self.connection.push(encode({"type": kind, **fields}))

    def reply(self, kind, **fields):
        self.send(kind, **self.re, **fields)

    def ok(self, **fields):
        if self.re:
            self.reply("ok", **fields)

    def left(self, why):
        for room, member in list(self.memberships.items()):
            room.remove(member, why)
        self.memberships.clear()

    def message(self, message):
        if isinstance(message, bytes):
            self.connection.end(1003, "only text")
            return
        self.re = {}
        try:
            self.dispatch(message)
        except Refusal as refusal:
            about = {} if refusal.room is None else {"room": refusal.room}
            self.reply("error", code=refusal.code, message=str(refusal), **about)

    def dispatch(self, text):
        if not self.may_ask():
            try:
                self.envelope(text)
            except Refusal:
                self.re = {}
            raise Refusal("rate_limited", "too many requests")  # 1
        request, kind = self.envelope(text)
        handler = getattr(self, f"on_{kind}", None) if re.fullmatch("[a-z]+", kind) else None
        if handler is None:
            raise Refusal("unknown_type", "there is no such request")  # 4
        handler(request)

    def may_ask(self):
        """Counts a message; says whether it is within the rate."""
        rate = self.service.limits["requests_per_s"]
        if rate == 0:
            return True
        moment = time.monotonic()
        gained, self.counted = (moment - self.counted) * rate, moment
        self.allowed = min(float(rate), self.allowed + gained)
        self.refused = max(0.0, self.refused - gained)
        if self.allowed >= 1:
            self.allowed -= 1
            return True
        self.refused += 1
        if self.refused > 10 * rate:
            self.connection.end(4009, "requests went on after refusals", "evicted")
        return False

    def envelope(self, text):
        """The request and its type (2, 3); from here on, its id is known."""
        request = decode(text)
        if not isinstance(request, Object):
            raise Refusal("bad_message", "a message is a JSON object")
        if "id" in request:
            if "id" in request.twice or not is_id(request["id"]):
                raise Refusal("bad_message", "an id is a short string or an integer, once")
            self.re = {"re": request["id"]}
        return request, field(request, "type", is_text)

    def on_ping(self, request):
        self.reply("pong")

    def on_name(self, request):
        username = field(request, "username", is_filled)
        if len(username) > USERNAME_CHARACTERS:
            raise Refusal("too_large", f"a username has at most {USERNAME_CHARACTERS} characters")  # 6
        if username != self.username:
            self.username = username
            for room, member in self.memberships.items():
                if member.full:
                    room.tell_full("member_renamed", None, member=member.id, username=username)
        self.ok()

    # Coming and going.

    def on_create(self, request):
        capacity = field(request, "capacity", is_capacity, 2)
        self.may_enter(None)
        code = self.service.fresh_code()
        room = self.service.make(f"~{code}", capacity)
        self.reply("created", code=code, room=room.name)
        self.re = {}
        self.enter(room, True, None)

    def on_join(self, request):
        name = field(request, "room", is_room, None)
        code = field(request, "code", is_text, None)
        full = field(request, "membership", is_membership, "full") == "full"
        since = field(request, "since", is_object, None)
        if since is not None:
            since = {"epoch": field(since, "epoch", is_text), "seq": field(since, "seq", is_count)}
        if (name is None) == (code is None):
            raise Refusal("bad_message", "either a room or a code")
        if name is not None and not within(self.service.limits["room_name_bytes"], len(name)):
            raise Refusal("too_large", "the name of the room is too long")  # 6
        if code is not None:
            code = code.strip().upper()
            if CODE.fullmatch(code) is None:
                raise Refusal("room_not_found", "this is no code")  # 7
            name = f"~{code}"
        self.may_enter(name)
        room = self.service.room(name)
        if room is None:
            if code is not None:
                raise Refusal("room_not_found", "there is no such room", name)  # 11
            room = self.service.make(name)
        if room.capacity is not None and len(room.members) >= room.capacity:
            raise Refusal("room_full", "the room is full", name)  # 12
        self.enter(room, full, since)

    def may_enter(self, name):
        if any(room.name == name for room in self.memberships):
            raise Refusal("already_joined", "you are in that room", name)  # 8
        if self.service.draining:
            raise Refusal("draining", "the server is about to stop")  # 9
        if not within(self.service.limits["rooms"], len(self.memberships) + 1):
            raise Refusal("too_many_rooms", "you are in too many rooms")  # 10

    def enter(self, room, full, since):
        member = Member(self, full)
        missed = room.missed(since) if since is not None else None
        if full:
            room.tell_full("member_joined", None, member=member.id, username=self.username)
        room.members[member.id] = member
        self.memberships[room] = member
        shown = [other for other in room.members.values() if other.full]
        answer = {
            "room": room.name,
            "epoch": room.epoch,
            "seq": room.seq if missed is None else since["seq"],
            "view": room.view,
            "you": member.id,
            "members": [
                {"member": other.id, "username": other.session.username}
                | ({"state": other.state} if missed is None else {})
                for other in shown
            ],
            "count": len(room.members),
        }
        if missed is None:
            entries = {key: value for key, (value, _) in room.entries.items()}
            answer["storage"] = {"version": room.version, "entries": entries}
        if since is not None:
            answer["recovered"] = missed is not None
        self.reply("joined", **answer)
        for text in missed or []:
            self.connection.push(text)

    def on_leave(self, request):
        room, member = self.membership(request)
        self.drop(room, member)
        self.reply("left", room=room.name)

    def drop(self, room, member):
        del self.memberships[room]
        room.remove(member, "left")

    # In a room.

    def membership(self, request):
        return self.member_of(field(request, "room", is_any_room))

    def member_of(self, name):
        for room, member in self.memberships.items():
            if room.name == name:
                return room, member
        raise Refusal("not_joined", "you are not in that room", name)  # 13

    def on_chat(self, request):
        name = field(request, "room", is_any_room)
        text = field(request, "text", is_text)
        room, member = self.member_of(name)
        room.stop_typing(member)
        room.record("chat", member=member.id, username=self.username, text=text, at=now())
        self.ok(room=room.name, seq=room.seq)

    def on_presence(self, request):
        name = field(request, "room", is_any_room)
        patch = field(request, "patch", is_anything)
        room, member = self.member_of(name)
        if not member.full:
            raise Refusal("forbidden", "only full members have a presence", name)  # 15
        state = in_64_bits(merged(member.state, patch))
        if not within(self.service.limits["state_bytes"], size(state)):
            raise Refusal("too_large", "the state would be too large", name)  # 17
        member.state = state
        room.record("presence", member=member.id, state=state, at=now())
        self.ok(room=room.name, seq=room.seq)

    def on_store(self, request):
        name = field(request, "room", is_any_room)
        ops = field(request, "ops", lambda value: isinstance(value, list) and value != [])
        ops = [operation(op) for op in ops]
        if_version = field(request, "if_version", is_count, None)
        room, member = self.member_of(name)
        for op in ops:
            (target,) = op.values()
            if len(target["key"].encode()) > KEY_BYTES:
                raise Refusal("too_large", f"a key has at most {KEY_BYTES} bytes")  # 14
        if if_version not in (None, room.version):
            raise Refusal("version_conflict", f"the version is {room.version}", name)  # 16
        if not room.write(ops):
            raise Refusal("too_large", "the storage would be too large", name)  # 17
        room.record("stored", version=room.version, member=member.id, ops=ops)
        self.ok(room=room.name, seq=room.seq, version=room.version)

    def on_typing(self, request):
        name = field(request, "room", is_any_room)
        on = field(request, "on", is_flag)
        room, member = self.member_of(name)
        if not on:
            room.stop_typing(member)
        else:
            if member.typing is None:
                room.tell_typing(member, True)
            else:
                member.typing.cancel()
            member.typing = self.service.loop.call_later(TYPING_SECONDS, room.stop_typing, member)
        self.ok()

    def on_read(self, request):
        name = field(request, "room", is_any_room)
        seq = field(request, "seq", is_count)
        room, member = self.member_of(name)
        if seq > room.seq:
            raise Refusal("bad_message", f"the last event is {room.seq}", name)  # 18
        if seq > member.read:
            member.read = seq
            event = {"type": "read", "room": name, "member": member.id, "seq": seq}
            room.tell(event, lambda other: other is not member)
        self.ok()


def operation(op):
    """One operation of `store`, without what nobody asked for."""
    if not isinstance(op, Object):
        raise Refusal("bad_message", "an operation is a JSON object")
    put = field(op, "put", is_object, None)
    delete = field(op, "delete", is_object, None)
    if (put is None) == (delete is None):
        raise Refusal("bad_message", "an operation is either a put or a delete")
    if put is None:
        return {"delete": {"key": field(delete, "key", is_filled)}}
    return {"put": {"key": field(put, "key", is_filled), "value": field(put, "value", is_anything)}}


def limit(text):
    name, _, value = text.partition("=")
    if name not in LIMITS or not value.isdecimal():
        raise endpoint.argparse.ArgumentTypeError(f"NAME=NUMBER, the names are {', '.join(LIMITS)}")
    return name, int(value)


def main():
    parser = endpoint.options("30s/120s")
    parser.add_argument("--limit", type=limit, action="append", default=[], help="such as rooms=3")
    settings = parser.parse_args()
    limits = LIMITS | {"queue_bytes": settings.queue_bytes} | dict(settings.limit)
    settings.queue_bytes = limits["queue_bytes"]
    endpoint.run(Native(limits, settings.heartbeat), settings, limits["message_bytes"], DRAIN_SECONDS)


if __name__ == "__main__":
    main()
