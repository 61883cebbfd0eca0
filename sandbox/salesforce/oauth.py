"""Sign-in: the token endpoint with its four server-to-server grants, revocation, and the old SOAP login.

One connected app, one integration user. Errors have status 400 and Salesforce's words: `{"error": …, "error_description": …}`.
"""

from __future__ import annotations

import base64
import binascii
import functools
import random
import re
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import unescape

import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.salesforce.org import Org

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_SECONDS_MAX = 180
CLOCK_SKEW_SECONDS = 60
GRANTS = (JWT_BEARER, "client_credentials", "refresh_token", "password")


@functools.cache
def key_pair() -> tuple[str, str]:
    """A private and a public key (PEM) for this process's simulated connected app."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode(), public.decode()


class Denied(Exception):
    """The token endpoint refuses: its `error` and `error_description`."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.body = {"error": error, "error_description": description}


class SignIn:
    """The connected app's credentials, and the tokens that are valid now.

    `blocked` holds grant types the org does not allow (say `password`); `audiences` what a JWT's `aud` may be beside the URL the
    request came to; `instance_url` what the answer names instead of that URL.
    """

    def __init__(self, org: Org, seed: int = 1) -> None:
        self.client_id = "3MVG9simulated.connected.app"
        self.client_secret = "simulated-client-secret"
        self.private_key, self.public_key = key_pair()
        self.username = "integration.user"
        self.password = "simulated-password"
        self.refresh_token = "5Aep861simulated.refresh.token"
        self.blocked: set[str] = set()
        self.audiences: set[str] = set()
        self.instance_url: str | None = None
        self.issued = 0
        self._org = org
        self._rng = random.Random(seed)
        self._tokens: dict[str, str] = {}
        self._listeners: list[Callable[[], None]] = []

    # ---- tokens

    def issue(self) -> str:
        """A new access token of the integration user."""
        characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
        token = f"{self._org.org_id[:15]}!{''.join(self._rng.choices(characters, k=96))}"
        self._tokens[token] = self._org.api_user_id
        self.issued += 1
        return token

    def revoke_tokens(self) -> None:
        """Make every token invalid at once, as an administrator or an expired session does."""
        self._tokens.clear()
        for listener in self._listeners:
            listener()

    def on_revoke(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` when tokens were revoked; returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def token_of(self, request: web.Request) -> str | None:
        """The valid token that a request carries in its Authorization header (`Bearer` or `OAuth`), or None."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token if scheme.lower() in {"bearer", "oauth"} and token in self._tokens else None

    def valid(self, token: str) -> bool:
        """Whether a token is still good."""
        return token in self._tokens

    def user_of(self, token: str) -> str:
        """The user id that a valid token stands for."""
        return self._tokens[token]

    # ---- the endpoints

    def routes(self) -> list[web.RouteDef]:
        """The HTTP endpoints of sign-in."""
        return [
            web.post("/services/oauth2/token", self._token),
            web.post("/services/oauth2/revoke", self._revoke),
            web.get("/services/oauth2/userinfo", self._identity),
            web.get("/id/{org}/{user}", self._identity),
            web.post(r"/services/Soap/u/{version:\d+\.0}", self._soap_login),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        base_url = str(request.url.origin())
        try:
            self._admit(form, request, base_url)
        except Denied as denied:
            return web.json_response(denied.body, status=400)
        user = self._org.api_user_id
        answer = {
            "access_token": self.issue(),
            "instance_url": self.instance_url or base_url,
            "id": f"{base_url}/id/{self._org.org_id}/{user}",
            "token_type": "Bearer",
            "issued_at": str(int(self._org.now() * 1000)),
            "signature": "c2ltdWxhdGVk",
        }
        return web.json_response(answer)

    def _admit(self, form: dict[str, str], request: web.Request, base_url: str) -> None:
        grant = form.get("grant_type", "")
        if grant not in GRANTS:
            raise Denied("unsupported_grant_type", "grant type not supported")
        if grant in self.blocked:
            raise Denied("invalid_grant", "authentication failure")
        if grant == JWT_BEARER:
            self._admit_jwt(form.get("assertion", ""), base_url)
            return
        self._admit_client(form, request)
        if grant == "refresh_token" and form.get("refresh_token") != self.refresh_token:
            raise Denied("invalid_grant", "expired access/refresh token")
        given = (form.get("username"), form.get("password"))
        if grant == "password" and given != (self.username, self.password):
            raise Denied("invalid_grant", "authentication failure")

    def _admit_client(self, form: dict[str, str], request: web.Request) -> None:
        client_id, secret = form.get("client_id"), form.get("client_secret")
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise Denied("invalid_client", "invalid client credentials") from error
        if client_id != self.client_id:
            raise Denied("invalid_client_id", "client identifier invalid")
        if secret != self.client_secret:
            raise Denied("invalid_client", "invalid client credentials")

    def _admit_jwt(self, assertion: str, base_url: str) -> None:
        options: Any = {"verify_aud": False, "verify_exp": False, "verify_iat": False}
        try:
            claims = jwt.decode(assertion, self.public_key, algorithms=["RS256"], options=options)
            expires = float(claims["exp"])
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise Denied("invalid_grant", "invalid assertion") from error
        if claims.get("iss") != self.client_id:
            raise Denied("invalid_client_id", "client identifier invalid")
        if claims.get("sub") != self.username:
            raise Denied("invalid_grant", "user hasn't approved this consumer")
        if claims.get("aud") not in {base_url, *self.audiences}:
            raise Denied("invalid_grant", "audience is invalid")
        left = expires - self._org.now()
        if not -CLOCK_SKEW_SECONDS < left <= JWT_SECONDS_MAX + CLOCK_SKEW_SECONDS:
            raise Denied("invalid_grant", "expired authorization code" if left <= 0 else "assertion is valid for too long")

    async def _revoke(self, request: web.Request) -> web.Response:
        token = str((await request.post()).get("token", ""))
        if self._tokens.pop(token, None) is None:
            return web.json_response({"error": "unsupported_token_type", "error_description": "invalid token"}, status=400)
        for listener in self._listeners:
            listener()
        return web.Response()

    async def _identity(self, request: web.Request) -> web.Response:
        token = self.token_of(request)
        if token is None:
            return web.Response(status=403, text="Bad_OAuth_Token")
        user = self.user_of(token)
        base = str(request.url.origin())
        answer = {
            "id": f"{base}/id/{self._org.org_id}/{user}",
            "user_id": user,
            "organization_id": self._org.org_id,
            "username": self.username,
            "active": True,
        }
        return web.json_response(answer)

    async def _soap_login(self, request: web.Request) -> web.Response:
        text = await request.text()
        given = tuple(_element(text, name) for name in ("username", "password"))
        if given != (self.username, self.password) or "password" in self.blocked:
            fault = "INVALID_LOGIN: Invalid username, password, security token; or user locked out."
            body = f"<soapenv:Fault><faultcode>sf:INVALID_LOGIN</faultcode><faultstring>{fault}</faultstring><detail>"
            body += "<sf:LoginFault><sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>"
            body += f"<sf:exceptionMessage>{fault}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>"
            return _soap(body, status=500)
        base = str(request.url.origin())
        version, org = request.match_info["version"], self._org
        body = "<loginResponse><result><passwordExpired>false</passwordExpired>"
        body += f"<serverUrl>{base}/services/Soap/u/{version}/{org.org_id[:15]}</serverUrl><sessionId>{self.issue()}</sessionId>"
        body += f"<userId>{org.api_user_id}</userId><userInfo><organizationId>{org.org_id}</organizationId></userInfo>"
        return _soap(f"{body}</result></loginResponse>")


def _element(xml: str, name: str) -> str:
    found = re.search(rf"<(?:\w+:)?{name}>(.*?)</(?:\w+:)?{name}>", xml, re.DOTALL)
    return unescape(found.group(1)) if found else ""


def _soap(body: str, status: int = 200) -> web.Response:
    spaces = 'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="urn:fault.partner.soap.sforce.com"'
    text = f"<soapenv:Envelope {spaces}><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    return web.Response(status=status, text=text, content_type="text/xml")


def json_response(value: Any, status: int = 200) -> web.Response:
    """An answer with a JSON body."""
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json", charset="UTF-8")
