"""A room of `tidemark.v1`: who is in it, its log, its views, its storage."""

import secrets
import time
from collections import deque

from strict import encode, size


def within(limit, amount):
    return limit == 0 or amount <= limit


class Member:
    def __init__(self, session, full):
        self.id = secrets.token_urlsafe(16)
        self.session = session
        self.full = full
        self.state = {}
        self.read = 0
        self.typing = None  # the timer that will end it


class Room:
    """One life of a room. The service has its `limits`, and is told when the room is empty."""

    def __init__(self, service, name, capacity=None):
        self.service = service
        self.name = name
        self.capacity = capacity
        self.epoch = secrets.token_urlsafe(16)
        self.members = {}  # id → member, in the order of joining
        self.seq = 0
        self.view = 0
        self.log = deque()  # (when, seq, text)
        self.log_bytes = 0
        self.version = 0
        self.entries = {}  # key → (value, bytes as JSON, its comma included)
        self.entries_bytes = 0
        self.empty_since = None

    def tell(self, event, to=lambda member: True):
        text = encode(event)
        for member in self.members.values():
            if to(member):
                member.session.connection.push(text)
        return text

    def tell_full(self, kind, but, **fields):
        self.view += 1
        event = {"type": kind, "room": self.name, "view": self.view, **fields}
        self.tell(event, lambda member: member.full and member is not but)

    def record(self, kind, **fields):
        """Numbers an event, tells it to all and keeps it for recovery."""
        self.seq += 1
        text = self.tell({"type": kind, "room": self.name, "seq": self.seq, **fields})
        self.log.append((time.monotonic(), self.seq, text))
        self.log_bytes += len(text.encode())
        self.trim()

    def trim(self):
        limits = self.service.limits
        oldest = time.monotonic() - limits["history_ms"] / 1000
        while self.log and not (
            within(limits["history_events"], len(self.log))
            and within(limits["history_bytes"], self.log_bytes)
            and self.log[0][0] > oldest
        ):
            self.log_bytes -= len(self.log.popleft()[2].encode())

    def missed(self, since):
        """The events after those of `since`, or nothing if they are not all there."""
        self.trim()
        if since["epoch"] != self.epoch or since["seq"] > self.seq:
            return None
        if self.seq - since["seq"] > len(self.log):
            return None
        return [text for _, seq, text in self.log if seq > since["seq"]]

    def is_over(self):
        if self.members or self.empty_since is None:
            return False
        return time.monotonic() - self.empty_since >= self.service.limits["history_ms"] / 1000

    def stop_typing(self, member):
        if member.typing is not None:
            member.typing.cancel()
            member.typing = None
            self.tell_typing(member, False)

    def tell_typing(self, member, on):
        event = {"type": "typing", "room": self.name, "member": member.id, "on": on}
        self.tell(event, lambda other: other is not member)

    def remove(self, member, reason):
        self.stop_typing(member)
        del self.members[member.id]
        if member.full:
            self.tell_full("member_left", None, member=member.id, reason=reason)
        if not self.members:
            self.empty_since = time.monotonic()
            self.service.forget_later(self)

    def write(self, ops):
        """Applies operations, all or nothing; says whether they fit."""
        changes = {}
        for op in ops:
            put = op.get("put")
            if put is None:
                changes[op["delete"]["key"]] = None
            else:
                entry = size(put["key"]) + size(put["value"]) + 2
                changes[put["key"]] = (put["value"], entry)
        entries = self.entries | changes
        for key in [key for key, entry in changes.items() if entry is None]:
            del entries[key]
        total = 1 + sum(entry for _, entry in entries.values()) if entries else 2
        if not within(self.service.limits["storage_bytes"], total):
            return False
        self.entries = entries
        self.version += 1
        return True
