"""JSON as `tidemark.v1` wants it, and the fields of its requests.

Nothing twice, nothing beyond a double, no half of a surrogate pair; numbers in comments are rows of
the table of errors in docs/PROTOCOL.md.
"""

import json
import re

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
CODE = re.compile(f"[{ALPHABET}]{{6}}")
NAME = re.compile(r"[A-Za-z0-9_.:-]+")
ID_BYTES = 64
DEPTH = 64  # of a message, which is the first level itself
REQUIRED = object()


class Refusal(Exception):
    """A request that is answered with an error; `room` if it was a room's state that refused it."""

    def __init__(self, code, message, room=None):
        super().__init__(message)
        self.code = code
        self.room = room


class Object(dict):
    """A JSON object that remembers which of its fields stood there twice."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.twice = set()
        if len(self) < len(pairs):
            names = [name for name, _ in pairs]
            self.twice = {name for name in names if names.count(name) > 1}


def finite(text):
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond a double")
    return number


def whole(text):
    finite(text)
    return int(text)


def no_number(name):
    raise ValueError(f"{name} is no JSON")


def decode(text):
    """The JSON value of a text, or a refusal (2)."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=Object,
            parse_float=finite,
            parse_int=whole,
            parse_constant=no_number,
        )
        if not shallow(value, DEPTH):
            raise ValueError("nested too deeply")
        if "\\u" in text:
            encode(value).encode()
    except (ValueError, RecursionError) as error:
        raise Refusal("bad_json", f"this is no JSON here: {error}") from None
    return value


def encode(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def size(value):
    return len(encode(value).encode())


def shallow(value, levels):
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return True
    return levels > 0 and all(shallow(inner, levels - 1) for inner in value)


# What fields of requests may be.


def is_text(value):
    return isinstance(value, str)


def is_object(value):
    return isinstance(value, Object)


def is_filled(value):
    return isinstance(value, str) and value != ""


def is_flag(value):
    return isinstance(value, bool)


def is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value):
    return is_whole(value) and value >= 0


def is_capacity(value):
    return is_whole(value) and 1 <= value <= 65535


def is_id(value):
    if is_whole(value):
        return -(2**63) <= value < 2**64
    return isinstance(value, str) and len(value.encode()) <= ID_BYTES


def is_room(value):
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def is_any_room(value):
    return is_room(value) or (
        isinstance(value, str) and value[:1] == "~" and CODE.fullmatch(value[1:]) is not None
    )


def is_membership(value):
    return value in ("full", "none")


def is_anything(value):
    return True


def field(request, name, fits, default=REQUIRED):
    """A field of a request (5); one that is not required is absent when it is null."""
    if name in request.twice:
        raise Refusal("bad_message", f"{name} stands there twice")
    value = request.get(name, None if default is not REQUIRED else REQUIRED)
    if default is not REQUIRED and value is None:
        return default
    if value is REQUIRED or not fits(value):
        raise Refusal("bad_message", f"{name} is missing or wrong")
    return value
