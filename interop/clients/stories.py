"""The clients that people use in Python: pysher, which listens, and the HTTP SDK, which publishes.

TARGET is the URL of a server that speaks Pusher, with its application 1; HARNESS the program of which
`serve` starts another one, for stories that need a server's options, or its end.
"""

import http.server
import json
import logging
import os
import queue
import subprocess
import threading
import time
import unittest
from urllib.parse import urlsplit

import pusher
import pysher

KEY, SECRET = "app-key", "app-secret"
# What is waited for comes at once; this is only ever reached when it does not come.
PATIENCE_S = 30
# Sets the channels of one run apart from those of another at the same server.
RUN = format(time.time_ns(), "x")
SUCCEEDED = "pusher_internal:subscription_succeeded"


def own(name):
    """A channel, or a user, of this run."""
    return f"{name}-{RUN}"


def backend(url=None, app_id="1", key=KEY, secret=SECRET):
    """An application's backend, with the SDK."""
    place = urlsplit(url or os.environ["TARGET"])
    return pusher.Pusher(
        app_id=app_id, key=key, secret=secret, host=place.hostname, port=place.port, ssl=False,
        timeout=PATIENCE_S,
    )


class Started:
    """A server of one story; it ends with it."""

    def __init__(self, test, *words, listen="127.0.0.1:0"):
        program = [os.environ["HARNESS"], "serve", "--listen", listen, "--log", "warn"]
        self._child = subprocess.Popen(
            [*program, "--until-stdin-closes", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        test.addCleanup(self.kill)
        self.url = self._child.stdout.readline().removeprefix("listening on ").strip()

    def kill(self):
        self._child.kill()
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()


def leaves(client):
    """Has a client close its connection. Its thread is not waited for: it may notice only after 100 seconds."""
    client.disconnect(0)


class Listener:
    """A pysher client on some channels; what it hears waits in a queue, as (channel, event, data)."""

    def __init__(self, test, channels, events, user=None, url=None, key=KEY, secret=SECRET):
        place = urlsplit(url or os.environ["TARGET"])
        self.heard, self.told = queue.Queue(), queue.Queue()
        self.client = pysher.Pusher(
            key, secure=False, custom_host=place.hostname, port=place.port, secret=secret, user_data=user,
            reconnect_interval=0.1,
        )

        def subscribe(_greeting):
            # On the thread that reads: nothing can come before it is listened for.
            for name in channels:
                channel = self.client.subscribe(name)
                for event in (SUCCEEDED, *events):
                    channel.bind(event, self._hear(name, event))

        self.client.connection.bind("pusher:connection_established", subscribe)
        for event in ("pusher:error", "pusher:ping", "pusher:pong"):
            self.client.connection.bind(event, self._tell(event))
        self.client.connect()
        test.addCleanup(leaves, self.client)
        self.came = dict(self._entry() for _ in channels)

    def _hear(self, channel, event):
        return lambda data: self.heard.put((channel, event, data))

    def _tell(self, event):
        return lambda data: self.told.put((event, data))

    def is_told(self, wanted):
        """The data of the next event of that name that is about the connection."""
        while True:
            event, data = self.told.get(timeout=PATIENCE_S)
            if event == wanted:
                return data

    def _entry(self):
        channel, event, data = self.next()
        assert event == SUCCEEDED, (channel, event, data)
        return channel, json.loads(data)

    def next(self):
        """What it hears next."""
        return self.heard.get(timeout=PATIENCE_S)

    def say(self, channel, event, data):
        """Says something to the other clients on a channel."""
        self.client.channel(channel).trigger(event, data)


class Pysher(unittest.TestCase):
    """It speaks version 6, greets with a ping, and signs for itself."""

    def test_public_and_private_channels(self):
        channels = [own("news"), own("private-news")]
        listener = Listener(self, channels, ["said"])
        for channel in channels:
            backend().trigger(channel, "said", {"on": channel})
            name, event, data = listener.next()
            self.assertEqual((name, event, json.loads(data)), (channel, "said", {"on": channel}))

    def test_a_secret_that_is_wrong_keeps_the_connection_and_hears_nothing(self):
        channel, public = own("private-vault"), own("square")
        listener = Listener(self, [public], ["said"])
        listener.client.secret = "another"
        vault = listener.client.subscribe(channel)
        vault.bind("said", lambda data: listener.heard.put((channel, "said", data)))
        # The error names the channel, so pysher does not take the connection for lost; it is no event of the channel's either.
        sdk = backend()
        sdk.trigger(channel, "said", "to nobody")
        sdk.trigger(public, "said", "to all")
        self.assertEqual(listener.next(), (public, "said", "to all"))
        self.assertEqual(sdk.channel_info(channel)["occupied"], False)

    def test_members_come_and_go(self):
        room = own("presence-room")
        events = ["pusher_internal:member_added", "pusher_internal:member_removed"]
        ada = Listener(self, [room], events, {"user_id": "ada", "user_info": {"n": 1}})
        presence = ada.came[room]["presence"]
        self.assertEqual((presence["ids"], presence["count"]), (["ada"], 1))
        bob = Listener(self, [room], events, {"user_id": "bob", "user_info": {"n": 2}})
        self.assertEqual(bob.came[room]["presence"]["hash"], {"ada": {"n": 1}, "bob": {"n": 2}})
        _, event, data = ada.next()
        self.assertEqual((event, json.loads(data)["user_id"]), (events[0], "bob"))
        users = backend().users_info(room)["users"]
        self.assertEqual(sorted(user["id"] for user in users), ["ada", "bob"])
        leaves(bob.client)
        _, event, data = ada.next()
        self.assertEqual((event, json.loads(data)["user_id"]), (events[1], "bob"))

    def test_clients_talk(self):
        room = own("private-talk")
        ada, bob = [Listener(self, [room], ["client-said", "said"]) for _ in range(2)]
        for number in range(5):
            ada.say(room, "client-said", {"number": number})
        for number in range(5):
            self.assertEqual(bob.next(), (room, "client-said", {"number": number}))
        # Whoever speaks does not hear it: the next that ada hears is what the backend says afterwards.
        backend().trigger(room, "said", "over")
        self.assertEqual(ada.next(), (room, "said", "over"))

    def test_a_cache_channel_has_its_last_event(self):
        channel = own("cache-price")
        backend().trigger(channel, "price", {"cents": 5})
        late = Listener(self, [channel], ["price"])
        self.assertEqual(json.loads(late.next()[2]), {"cents": 5})

    def test_an_idle_client_is_asked_and_stays(self):
        server = Started(self, "--heartbeat", "pusher=1s/120s")
        idle = Listener(self, ["idle"], ["said"], url=server.url)
        socket_id = idle.client.connection.socket_id
        for _ in range(2):
            idle.is_told("pusher:ping")
        backend(server.url).trigger("idle", "said", "still here")
        self.assertEqual(idle.next()[2], "still here")
        self.assertEqual(idle.client.connection.socket_id, socket_id)

    def test_an_unknown_key_is_told_and_the_client_stays_away(self):
        # Its own way to end logs that a thread cannot wait for itself.
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        refused = Listener(self, [], [], key="no-such-key")
        self.assertEqual(refused.is_told("pusher:error")["code"], 4001)
        refused.client.connection.join(PATIENCE_S)
        self.assertFalse(refused.client.connection.is_alive())

    def test_a_server_that_was_killed_is_found_again(self):
        channels = ["back", "private-back", "presence-back"]
        server = Started(self)
        # Its own way to subscribe again shows old signatures: applications do it at each greeting.
        ada = Listener(self, channels, ["said"], {"user_id": "ada"}, url=server.url)
        socket_id = ada.client.connection.socket_id
        server.kill()
        again = Started(self, listen=urlsplit(server.url).netloc)
        self.assertEqual([ada.next()[:2] for _ in channels], [(name, SUCCEEDED) for name in channels])
        self.assertNotEqual(ada.client.connection.socket_id, socket_id)
        backend(again.url).trigger(channels, "said", "again")
        self.assertEqual([ada.next() for _ in channels], [(name, "said", "again") for name in channels])


class Sdk(unittest.TestCase):
    """The SDK signs as the documentation says."""

    def test_several_channels_and_a_batch_in_order(self):
        channels = [own("one"), own("two"), own("three")]
        listener = Listener(self, channels, ["said"])
        backend().trigger(channels, "said", "to all three")
        heard = {listener.next()[0] for _ in channels}
        self.assertEqual(heard, set(channels))
        batch = [{"channel": channels[0], "name": "said", "data": str(n)} for n in range(10)]
        backend().trigger_batch(batch)
        self.assertEqual([listener.next()[2] for _ in batch], [str(n) for n in range(10)])

    def test_whoever_asked_is_left_out(self):
        channel = own("private-echo")
        ada, bob = [Listener(self, [channel], ["said"]) for _ in range(2)]
        backend().trigger(channel, "said", "first", ada.client.connection.socket_id)
        backend().trigger(channel, "said", "second")
        self.assertEqual([bob.next()[2] for _ in range(2)], ["first", "second"])
        self.assertEqual(ada.next()[2], "second")

    def test_channels_can_be_asked_about(self):
        channel = own("presence-asked")
        Listener(self, [channel], [], {"user_id": "ada"})
        sdk = backend()
        self.assertEqual(sdk.channel_info(channel, ["user_count"]), {"occupied": True, "user_count": 1})
        self.assertEqual(sdk.channel_info(own("empty"))["occupied"], False)
        found = sdk.channels_info("presence-asked", ["user_count"])["channels"]
        self.assertEqual(found[channel], {"user_count": 1})

    def test_a_wrong_secret_is_refused(self):
        with self.assertRaises(pusher.errors.PusherBadAuth):
            backend(secret="another").trigger(own("x"), "said", "never")

    def test_what_it_signs_lets_in(self):
        channel = own("private-signed")
        listener = Listener(self, [], [])
        signed = threading.Event()
        connection = listener.client.connection
        connection.bind("pusher:connection_established", lambda _: signed.set())
        # The greeting may have come before: then its id is known.
        while not (connection.socket_id or signed.wait(0.02)):
            pass
        auth = backend().authenticate(channel, connection.socket_id)["auth"]
        listener.client.subscribe(channel, auth)
        until = time.monotonic() + PATIENCE_S
        while not backend().channel_info(channel)["occupied"]:
            self.assertLess(time.monotonic(), until, "it was not let in")

    def test_it_knows_our_webhooks(self):
        received = queue.Queue()

        class Hooks(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                received.put((self.headers["X-Pusher-Key"], self.headers["X-Pusher-Signature"], body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        hooks = http.server.HTTPServer(("127.0.0.1", 0), Hooks)
        self.addCleanup(hooks.server_close)
        self.addCleanup(hooks.shutdown)
        threading.Thread(target=hooks.serve_forever, daemon=True).start()
        app = f"id=7,key=hooked,secret=sealed,webhook=http://127.0.0.1:{hooks.server_port}/hooks"
        url = Started(self, "--pusher-app", app).url
        user = {"user_id": "ada"}
        Listener(self, ["presence-hooked"], [], user, url=url, key="hooked", secret="sealed")
        sdk = backend(url, "7", "hooked", "sealed")
        events = []
        while len(events) < 2:
            told = received.get(timeout=PATIENCE_S)
            self.assertIsNone(backend(url, "7", "hooked", "another").validate_webhook(*told))
            events += sdk.validate_webhook(*told)["events"]
        self.assertEqual(
            events,
            [
                {"name": "channel_occupied", "channel": "presence-hooked"},
                {"name": "member_added", "channel": "presence-hooked", "user_id": "ada"},
            ],
        )


if __name__ == "__main__":
    unittest.main()
