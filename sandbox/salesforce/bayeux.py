"""The Streaming API: a Bayeux server for long polling with the replay extension, as strict as Salesforce's.

    handshake   token in the Authorization header, answers a client id and the BAYEUX_BROWSER cookie
    connect     the first of a session at once with advice, later ones when there are events or after the poll time
    subscribe   with ext.replay {channel: id}: -1 new events (also when missing), -2 all retained ones, else those after the id

A session that does not connect for 40 s, a missing or foreign cookie and an unknown client id all mean 403::Unknown client. What
an answer carried is gone from the session even if the client never got it: only a new subscription with a replay id brings it
back.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from sandbox.faults import cut
from sandbox.salesforce.bayeux_session import ALL_CHANGES, Session, Subscription
from sandbox.salesforce.oauth import SignIn
from sandbox.salesforce.org import Org

COOKIE = "BAYEUX_BROWSER"
BODY_BYTES_MAX = 32_768
EXTENSIONS = {"replay": True, "payload.format": True}
INVALID_REPLAY = "Please provide a valid ID, -2 to replay all events, or -1 to replay only new events."
EVENT_LIMIT = "403::Organization total events daily limit exceeded"
UNKNOWN_CLIENT = "403::Unknown client"
NO_AUTH = "401::Authentication invalid"
Message = dict[str, Any]


class Bayeux:
    """The CometD endpoint. Times are in seconds.

    `silence` answers connects but withholds every event; `refuse_next` are errors that refuse the next subscriptions, one each.
    """

    def __init__(self, org: Org, sign_in: SignIn, seed: int = 1) -> None:
        self.poll_seconds = 110.0
        self.session_seconds = 40.0
        self.messages_per_answer = 2_000
        self.deliver_with_subscribe = False
        self.silence = False
        self.refuse_next: list[str] = []
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.closing = False
        self._org = org
        self._sign_in = sign_in
        self._rng = random.Random(seed)
        self._sessions: dict[str, Session] = {}
        self._stir = asyncio.Event()
        self._held = 0
        self._arrival = asyncio.Event()
        self._ends: list[Callable[[], None]] = []

    def routes(self) -> list[web.RouteDef]:
        """The HTTP endpoint; clients may append the message kind (`/cometd/62.0/handshake`), as npm cometd does."""
        return [
            web.post(r"/cometd/{version:\d\d\.0}{tail:/?}", self._post),
            web.post(r"/cometd/{version:\d\d\.0}/{kind:handshake|connect|disconnect}", self._post),
        ]

    def start(self) -> None:
        """Listen to the org: published events and revoked tokens wake the long polls."""
        loop = asyncio.get_running_loop()
        self.closing = False

        def wake() -> None:
            loop.call_soon_threadsafe(self.stir)

        self._ends = [self._org.log.on_append(wake), self._sign_in.on_revoke(wake)]

    def stop(self) -> None:
        """Answer what waits and forget all sessions, as a restart does."""
        for end in self._ends:
            end()
        self._ends = []
        self.closing = True
        self.drop_sessions()

    def stir(self) -> None:
        """Let every waiting connect look again."""
        self._stir.set()
        self._stir = asyncio.Event()

    # ---- for tests

    @property
    def sessions(self) -> list[Session]:
        """The live sessions."""
        self._expire()
        return list(self._sessions.values())

    @property
    def delivered_total(self) -> int:
        """All messages that answers carried, over all sessions that ever were."""
        return sum(self.delivered.values())

    async def held(self, count: int = 1) -> None:
        """Wait until at least so many connects are held open."""
        while self._held < count:
            await self._arrival.wait()

    def drop_sessions(self) -> None:
        """Forget every client id: the next request of each is 403::Unknown client."""
        self._sessions.clear()
        self.stir()

    def drop_subscriptions(self) -> None:
        """Lose all subscriptions and keep the sessions: connects go on being answered, and no event ever comes."""
        for session in self._sessions.values():
            session.subscriptions.clear()

    def mute_sessions(self) -> None:
        """Withhold events from the sessions that exist now; a new handshake is not affected."""
        for session in self._sessions.values():
            session.muted = True

    # ---- requests

    async def _post(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if len(raw) > BODY_BYTES_MAX:
            return web.Response(status=413, text="Maximum Request Size Exceeded")
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return web.Response(status=400, text="400::Bad request")
        messages = body if isinstance(body, list) else [body]
        if not messages or not all(isinstance(m, dict) and isinstance(m.get("channel"), str) for m in messages):
            return web.Response(status=400, text="400::Bad request")
        self._expire()
        response = web.Response(content_type="application/json", charset="UTF-8")
        answers: list[bytes] = []
        for message in messages:
            answers += await self._answer(message, request, response, may_wait=len(messages) == 1)
        if self.closing:
            return cut(request)
        response.body = b"[" + b",".join(answers) + b"]"
        return response

    async def _answer(self, message: Message, request: web.Request, response: web.Response, *, may_wait: bool) -> list[bytes]:
        channel = message["channel"]
        self.counts[channel.removeprefix("/meta/")] += 1
        if channel == "/meta/handshake":
            return [orjson.dumps(self._handshake(message, request, response))]
        session = self._session_of(message, request)
        if isinstance(session, str):
            return self._without_session(message, session)
        if channel == "/meta/connect":
            return await self._connect(message, session, request, may_wait=may_wait)
        session.last_reply = self._loop_time()
        if channel == "/meta/subscribe":
            return self._subscribe(message, session)
        if channel == "/meta/unsubscribe":
            session.subscriptions.pop(str(message.get("subscription")), None)
            return [self._reply(message, session, {"subscription": message.get("subscription")})]
        if channel == "/meta/disconnect":
            del self._sessions[session.client_id]
            session.superseded.set()
            return [self._reply(message, session, {})]
        return [self._reply(message, session, {}, error="403:denied_by_security_policy:publish_denied")]

    def _handshake(self, message: Message, request: web.Request, response: web.Response) -> Message:
        answer: Message = {"channel": "/meta/handshake", "ext": dict(EXTENSIONS), "successful": False}
        if "id" in message:
            answer["id"] = message["id"]
        token = self._sign_in.token_of(request)
        if token is None:
            self.refusals[NO_AUTH] += 1
            answer["ext"]["sfdc"] = {"failureReason": NO_AUTH}
            return answer | {"error": "403::Handshake denied", "advice": {"reconnect": "none"}}
        if "long-polling" not in (message.get("supportedConnectionTypes") or []):
            return answer | {"error": "400::Unsupported connection types", "advice": {"reconnect": "none"}}
        browser = request.cookies.get(COOKIE) or f"{self._rng.getrandbits(80):x}"
        client_id = f"{self._rng.getrandbits(32):x}" + "".join(self._rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20))
        self._sessions[client_id] = Session(client_id, browser, token, self._loop_time())
        response.set_cookie(COOKIE, browser, path="/", httponly=True)
        return answer | {
            "version": "1.0",
            "minimumVersion": "1.0",
            "clientId": client_id,
            "supportedConnectionTypes": ["long-polling"],
            "successful": True,
        }

    def _session_of(self, message: Message, request: web.Request) -> Session | str:
        """The session a message belongs to, or the error that answers it."""
        session = self._sessions.get(str(message.get("clientId")))
        if session is None or request.cookies.get(COOKIE) != session.browser:
            return UNKNOWN_CLIENT
        if self._sign_in.token_of(request) is None or not self._sign_in.valid(session.token):
            del self._sessions[session.client_id]
            return NO_AUTH
        return session

    def _without_session(self, message: Message, error: str) -> list[bytes]:
        self.refusals[error] += 1
        reconnect = "none" if error == NO_AUTH else "handshake"
        advice = {"interval": 0, "reconnect": reconnect}
        answer = {"channel": message["channel"], "successful": False, "error": error, "advice": advice}
        answer |= {name: message[name] for name in ("id", "subscription") if name in message}
        if error == NO_AUTH:
            answer["clientId"] = message.get("clientId")
        leave = [b'{"channel":"/meta/disconnect"}'] if error == NO_AUTH and message["channel"] == "/meta/connect" else []
        return [*leave, orjson.dumps(answer)]

    def _reply(self, message: Message, session: Session, more: Message, error: str | None = None) -> bytes:
        answer: Message = {"channel": message["channel"], "clientId": session.client_id, "successful": error is None, **more}
        if "id" in message:
            answer["id"] = message["id"]
        if error is not None:
            self.refusals[error] += 1
            answer["error"] = error
        return orjson.dumps(answer)

    # ---- connect

    async def _connect(self, message: Message, session: Session, request: web.Request, *, may_wait: bool) -> list[bytes]:
        session.superseded.set()
        session.superseded = mine = asyncio.Event()
        session.polls += 1
        try:
            if not session.connected_once:
                session.connected_once = True
                milliseconds = int(self.poll_seconds * 1000)
                advice = {"interval": 0, "timeout": milliseconds, "reconnect": "retry"}
                return [self._reply(message, session, {"advice": advice})]
            if may_wait:
                await self._hold(session, mine)
            return self._deliver(message, session, request, superseded=mine.is_set())
        finally:
            session.polls -= 1
            session.last_reply = self._loop_time()

    async def _hold(self, session: Session, superseded: asyncio.Event) -> None:
        self._held += 1
        self._arrival.set()
        self._arrival = asyncio.Event()
        try:
            await self._wait(session, superseded)
        finally:
            self._held -= 1

    async def _wait(self, session: Session, superseded: asyncio.Event) -> None:
        """Wait until there is something to say to this session, another connect takes its place, or the poll time is over."""
        deadline = self._loop_time() + self.poll_seconds
        while not (superseded.is_set() or self.closing or self._lost(session) or self._has_news(session)):
            left = deadline - self._loop_time()
            if left <= 0:
                return
            waits = [asyncio.ensure_future(self._stir.wait()), asyncio.ensure_future(superseded.wait())]
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    def _lost(self, session: Session) -> bool:
        return session.client_id not in self._sessions or not self._sign_in.valid(session.token)

    def _has_news(self, session: Session) -> bool:
        return not (self.silence or session.muted) and session.has_waiting(self._org.log)

    def _deliver(self, message: Message, session: Session, request: web.Request, *, superseded: bool) -> list[bytes]:
        if self._lost(session):
            revoked = not self._sign_in.valid(session.token)
            self._sessions.pop(session.client_id, None)
            return self._without_session(message, NO_AUTH if revoked else UNKNOWN_CLIENT)
        gone = request.transport is None or request.transport.is_closing()
        if superseded or gone or not self._has_news(session):
            return [self._reply(message, session, {})]
        left = self._org.delivered_events.left
        if left == 0:
            advice = {"interval": 0, "reconnect": "none"}
            return [self._reply(message, session, {"advice": advice}, error=EVENT_LIMIT)]
        most = self.messages_per_answer if left is None else min(self.messages_per_answer, left)
        return [*self._take(session, most), self._reply(message, session, {})]

    def _take(self, session: Session, most: int) -> list[bytes]:
        messages = session.take(self._org.log, most)
        self._org.delivered_events.use(len(messages))
        self.delivered[session.client_id] += len(messages)
        return messages

    # ---- subscribe

    def _subscribe(self, message: Message, session: Session) -> list[bytes]:
        wanted = message.get("subscription")
        channels = wanted if isinstance(wanted, list) else [wanted]
        answers: list[bytes] = []
        for channel in channels:
            error = self._begin(str(channel), message, session)
            more: Message = {"subscription": channel}
            answers.append(self._reply(message, session, more, error=error))
        if self.deliver_with_subscribe and self._has_news(session) and not self._org.delivered_events.exhausted:
            answers = [*self._take(session, self.messages_per_answer), *answers]
        self.stir()
        return answers

    def _begin(self, channel: str, message: Message, session: Session) -> str | None:
        """Begin one subscription; returns the error that refuses it."""
        if not self.knows(channel):
            return "403:denied_by_security_policy:create_denied"
        if self.refuse_next:
            return self.refuse_next.pop(0)
        if self._org.delivered_events.exhausted:
            return EVENT_LIMIT
        ext = message.get("ext")
        replay = ext.get("replay") if isinstance(ext, dict) else None
        asked = replay.get(channel) if isinstance(replay, dict) else None
        replay_id = asked if isinstance(asked, int) and not isinstance(asked, bool) else -1
        position = self._org.log.after(replay_id)
        if position is None:
            return f"400::The replayId {{{replay_id}}} you provided was invalid.  {INVALID_REPLAY}"
        org = self._org
        session.subscriptions[channel] = Subscription(
            channel, position, lambda obj: org.publisher.carries(channel, obj) and org.access.hears_of(obj)
        )
        return None

    def knows(self, channel: str) -> bool:
        """Whether a channel exists (names are case-sensitive); an object that is not selected has one that stays quiet."""
        names = [kind.name for kind in self._org.types.values() if kind.capturable]
        own = {f"/data/{name}" for name in self._org.publisher.channels}
        return channel == ALL_CHANGES or channel in {f"/data/{name}ChangeEvent" for name in names} | own

    # ---- time

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    def _expire(self) -> None:
        horizon = self._loop_time() - self.session_seconds
        for session in list(self._sessions.values()):
            if session.polls == 0 and session.last_reply < horizon:
                del self._sessions[session.client_id]
