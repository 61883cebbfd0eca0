"""Checked kinds of settings. A check raises ValueError saying what is expected; judge.py adds the key and what was found."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, Field

from stream import filters
from stream.errors import ConfigError

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_CHANNEL = re.compile(r"/data/(ChangeEvents|[A-Za-z]\w*ChangeEvent|[A-Za-z]\w*__chn)", re.ASCII)
_FIELD = re.compile(r"[A-Za-z]\w*", re.ASCII)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name or address: localhost, 127.0.0.0/8, ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split_url(text: str, example: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, a port that is no number
        usable = False
    if not usable or re.search(r"\s", text) or not text.isprintable():
        raise ValueError(f"a URL such as {example}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL without a user name or password in it")
    if parts.query or parts.fragment:
        raise ValueError(f"a URL without ? and #, such as {example}")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("https: plain http is allowed only for localhost, 127.0.0.0/8 and ::1")
    return parts


def _login_url(text: str) -> str:
    parts = _split_url(text, "https://login.salesforce.com")
    if parts.path.startswith("/services"):
        raise ValueError("the address without /services/…: it is added to it")
    return text.rstrip("/")


def _base_url(text: str) -> str:
    example = "https://123-ABC-456.mktorest.com"
    parts = _split_url(text, example)
    if re.search(r"/(rest|identity)(/|$)", parts.path):
        raise ValueError(f"the address without /rest or /identity, such as {example}: both are added to it")
    return text.rstrip("/")


def _api_version(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{1,2}\.0", text, re.ASCII):
        raise ValueError('a version such as "62.0", without a v')
    return text


def _channel(text: str) -> str:
    if _CHANNEL.fullmatch(text):
        return text
    if text.lower() == "/data/changeevents":
        raise ValueError('"/data/ChangeEvents": names of channels are case-sensitive')
    if re.fullmatch(_CHANNEL.pattern, text, re.ASCII | re.IGNORECASE):
        raise ValueError("/data/NameChangeEvent or /data/Name__chn in this spelling: names of channels are case-sensitive")
    raise ValueError('"/data/ChangeEvents", "/data/NameChangeEvent" or "/data/Name__chn"')


def _client_name(text: str) -> str:
    if not re.fullmatch(r"[\w.\-]{1,40}", text, re.ASCII):
        raise ValueError("up to 40 letters, digits, dots, dashes or underscores: it travels in a header")
    return text


def _role(text: str) -> str:
    if not text.strip() or len(text) > 50:
        raise ValueError("a role of 1 to 50 characters: Marketo has no role without a name")
    return text


def _marketo_field_or_none(text: str) -> str:
    if text and not _FIELD.fullmatch(text):
        raise ValueError("a Marketo field's REST API name, or an empty text")
    return text


def _field_prefix(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z]\w*__", text, re.ASCII):
        raise ValueError('a namespace with its two underscores, such as "mkto_si__", or an empty text')
    return text


def _filter(text: str) -> str:
    try:
        filters.parse(text, "")
    except ConfigError as error:
        raise ValueError(f"{error.message.partition('expected ')[2]}; {error.hint}") from None
    return text


def check_rsa_key(pem: str) -> None:
    """Raise ValueError, free of the key itself, where this is no unencrypted RSA private key in PEM."""
    if "PRIVATE KEY-----" not in pem:
        raise ValueError("an RSA private key in PEM: the text from -----BEGIN … PRIVATE KEY----- to its END line")
    try:
        key: Any = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError("a private key without a passphrase (openssl rsa -in KEY -out NEW)") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("an RSA private key in PEM that can be read: this one is damaged or of an unknown kind") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("an RSA private key: Salesforce takes RS256 signatures only")  # noqa: TRY004 - pydantic collects ValueErrors


LoginUrl = Annotated[str, AfterValidator(_login_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
ApiVersion = Annotated[str, AfterValidator(_api_version)]
Channel = Annotated[str, AfterValidator(_channel)]
ClientName = Annotated[str, AfterValidator(_client_name)]
Role = Annotated[str, AfterValidator(_role)]
MarketoFieldOrNone = Annotated[str, AfterValidator(_marketo_field_or_none)]
FieldPrefix = Annotated[str, AfterValidator(_field_prefix)]
FilterText = Annotated[str, AfterValidator(_filter)]
