"""The `chat` dialect: two people in a room that is found by a code."""

import json
import secrets
import uuid

import endpoint

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no I and O, no 0 and 1
USERNAME_CHARACTERS = 32
CONTENT_CHARACTERS = 4000
FIELDS = {
    "set_username": "username",
    "create_room": None,
    "join_room": "room_code",
    "chat": "content",
    "typing": None,
    "stop_typing": None,
    "leave_room": None,
}


class Refusal(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Chat:
    path = "/ws/chat"
    subprotocol = None

    def __init__(self):
        self.rooms = {}  # code → its members, one or two sessions

    def open(self, connection):
        return Session(self, connection)

    def fresh_code(self):
        while True:
            code = "".join(secrets.choice(ALPHABET) for _ in range(6))
            if code not in self.rooms:
                return code


class Session:
    def __init__(self, chat, connection):
        self.chat = chat
        self.connection = connection
        self.username = None
        self.code = None
        self.is_typing = False  # the partner was told so
        self.say("connected", client_id=str(uuid.uuid4()))

    def say(self, kind, **fields):
        self.connection.push(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    def partner(self):
        members = self.chat.rooms[self.code] if self.code else []
        return next((member for member in members if member is not self), None)

    def tell(self, kind, **fields):
        partner = self.partner()
        if partner is not None:
            partner.say(kind, **fields)

    def message(self, message):
        try:
            kind, value = read(message)
            getattr(self, f"on_{kind}")(*([] if FIELDS[kind] is None else [value]))
        except Refusal as refusal:
            self.say("error", code=refusal.code, message=str(refusal))

    def left(self, why):
        if self.code is not None:
            self.on_leave_room()

    # One method a request.

    def on_set_username(self, username):
        if not 1 <= len(username) <= USERNAME_CHARACTERS:
            raise Refusal("invalid_username", f"a name has 1 to {USERNAME_CHARACTERS} characters")
        self.username = username
        self.say("username_set", username=username)

    def may_enter(self):
        if self.username is None:
            raise Refusal("username_required", "say who you are first")
        if self.code is not None:
            raise Refusal("already_in_room", f"you are in {self.code}")

    def on_create_room(self):
        self.may_enter()
        self.code = self.chat.fresh_code()
        self.chat.rooms[self.code] = [self]
        self.say("room_created", room_code=self.code)

    def on_join_room(self, code):
        self.may_enter()
        code = code.strip().upper()
        members = self.chat.rooms.get(code)
        if members is None:
            raise Refusal("room_not_found", "there is no such room")
        if len(members) == 2:
            raise Refusal("room_full", "there are two in it already")
        members.append(self)
        self.code = code
        self.say("room_joined", room_code=code, partner=self.partner().username)
        self.tell("partner_joined", username=self.username)

    def must_be_in_a_room(self):
        if self.code is None:
            raise Refusal("not_in_room", "you are in no room")

    def on_chat(self, content):
        self.must_be_in_a_room()
        if len(content) > CONTENT_CHARACTERS:
            raise Refusal("message_too_long", f"at most {CONTENT_CHARACTERS} characters")
        self.on_stop_typing()
        self.tell("chat", **{"from": self.username}, content=content)

    def on_typing(self):
        self.must_be_in_a_room()
        if not self.is_typing and self.partner() is not None:
            self.is_typing = True
            self.tell("partner_typing")

    def on_stop_typing(self):
        if self.is_typing:
            self.is_typing = False
            self.tell("partner_stop_typing")

    def on_leave_room(self):
        self.must_be_in_a_room()
        partner = self.partner()
        self.tell("partner_left")
        self.chat.rooms[self.code].remove(self)
        if partner is None:
            del self.chat.rooms[self.code]
        else:
            partner.is_typing = False  # a next partner has heard of nothing
        self.code = None
        self.is_typing = False


def read(message):
    """A request's kind and its one field."""
    try:
        request = json.loads(message if isinstance(message, str) else "", parse_constant=no_number)
    except (ValueError, RecursionError):
        raise Refusal("invalid_message", "this is no JSON text") from None
    if not isinstance(request, dict):
        raise Refusal("invalid_message", "this is no JSON object")
    kind = request.get("type")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise Refusal("invalid_message", "there is no such type")
    value = request.get(FIELDS[kind])
    if FIELDS[kind] is not None and not is_text(value):
        raise Refusal("invalid_message", f"{FIELDS[kind]} is a text")
    return kind, value


def is_text(value):
    """Says whether this is a text that UTF-8 can carry: no half of a surrogate pair."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def no_number(name):
    raise ValueError(f"{name} is no JSON")


if __name__ == "__main__":
    endpoint.run(Chat(), endpoint.options("30s/60s").parse_args())
