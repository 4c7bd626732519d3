"""The MQTT broker of --mqtt, and a client that acknowledges messages only on request."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomqtt

from host.errors import ArgumentError

_LONGEST_NAME = 100
_SCHEMES = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Broker:
    """The broker that --mqtt names: mqtt://user:password@host:port/prefix, mqtts:// for TLS.

    authority: a file of certificates to verify the broker's with, None for those that this machine
    trusts.
    """

    host: str
    port: int
    prefix: str = "federation"
    user: str | None = None
    password: str | None = None
    is_encrypted: bool = False
    authority: str | None = None

    @classmethod
    def parse(cls, text: str, authority: str | None = None) -> Broker:
        """Returns the broker that `text` names; authority: the file of --mqtt-ca.

        Raises ArgumentError.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        prefix = parts.path.strip("/") or "federation"
        if host is None or parts.scheme not in _SCHEMES or set(prefix) & set("#+"):
            raise ArgumentError("--mqtt: give it as mqtt://broker or mqtts://user@broker/prefix")
        user, password = (
            unquote(part) if part else None for part in (parts.username, parts.password)
        )
        port = port or _SCHEMES[parts.scheme]
        found = cls(host, port, prefix, user, password, parts.scheme == "mqtts", authority)
        if authority is not None and not found.is_encrypted:
            raise ArgumentError("--mqtt-ca is for brokers with TLS: give --mqtt mqtts://...")
        found.tls_context()
        return found

    def tls_context(self) -> ssl.SSLContext | None:
        """Returns the context for TLS, None without TLS. Raises ArgumentError for a file without
        certificates."""
        if not self.is_encrypted:
            return None
        try:
            return ssl.create_default_context(cafile=self.authority)
        except OSError as error:  # ssl.SSLError is one
            reason = "no certificate in it" if error.filename is None else error.strerror
            if isinstance(error, FileNotFoundError):
                reason = "there is no such file"
            raise ArgumentError(
                f"--mqtt-ca {self.authority}: {reason}: give a file of certificates in PEM"
            ) from None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}, commands on {self.prefix}/commands"


def parse_name(text: str) -> str:
    """Returns a server's name from --mqtt-id. Raises ArgumentError if a topic cannot have it."""
    if not text or set(text) & set("/#+") or not text.isprintable() or len(text) > _LONGEST_NAME:
        raise ArgumentError(
            f"--mqtt-id {text:.80}: give 1 to {_LONGEST_NAME} characters, and none of / # +"
        )
    return text


class AcknowledgingClient(aiomqtt.Client):
    """A client whose messages are acknowledged by `acknowledge`, not when they come.

    aiomqtt 2 has no public way to do that, but paho, which it uses, has: only this class uses
    aiomqtt's private attributes for it.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """As aiomqtt.Client."""
        super().__init__(*arguments, **settings)
        self._client.manual_ack_set(True)

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """Acknowledges a message, so that the broker forgets it."""
        self._client.ack(message.mid, message.qos)
