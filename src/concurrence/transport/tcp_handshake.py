"""How the ends of a TCP connection prove who they are: with the CURVE keys of connect file and key ring. Pure.

Both ends have a key pair of X25519, and know the other's public half or are told it. Each adds a fresh pair, and
three exchanges (the client's fresh key with the server's own, the client's own with the server's fresh one, both
fresh ones) give a secret that only the holders of both secret keys know. Each end sends an HMAC under a key made
from it. The name of the server's TLS certificate goes into that key: so the certificate, which is made anew at
each start, is the one of the server whose key the connect file has, and nobody can sit in between.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from zmq.utils import z85

from concurrence.errors import ProtocolError
from concurrence.transport.security import KeyPair

MAGIC = b"concurrence-tcp"
VERSION = 1
NO_CERTIFICATE = bytes(32)
"""Stands for the certificate where there is no TLS: on the loopback interface, if the config wants it so."""

_KEY = 32
GREETING_BYTES = len(MAGIC) + 2 + 2 * _KEY
CHALLENGE_BYTES = 2 * _KEY
PROOF_BYTES = _KEY

ADMITTED = b"\x01"
REFUSED = b"\x00"


class Channel(Enum):
    """What a connection is for; its value goes over the wire."""

    COMPUTE = 1
    WORK = 2


def certificate_name(certificate: bytes | None) -> bytes:
    """What stands for a server's certificate in the proofs.

    Args:
        certificate: In DER; None without TLS.
    """
    return hashlib.sha256(certificate).digest() if certificate is not None else NO_CERTIFICATE


@dataclass(frozen=True, slots=True)
class Proofs:
    """What either end sends to show that it holds its secret key."""

    server: bytes
    client: bytes


class ClientHandshake:
    """The client's side: greeting out, challenge in, proof out, verdict in.

    Args:
        keys: Its own keys.
        server_key: The server's public key, in Z85.
        channel: What the connection is for.
        certificate: What :func:`certificate_name` gave for the certificate that the server showed.
    """

    def __init__(self, keys: KeyPair, server_key: str, channel: Channel, certificate: bytes) -> None:
        self._own = _private(keys)
        self._fresh = X25519PrivateKey.generate()
        self._public = z85.decode(keys.public)
        self._server = z85.decode(server_key)
        self._channel = channel
        self._certificate = certificate

    def greeting(self) -> bytes:
        """The first bytes on the connection."""
        return MAGIC + bytes((VERSION, self._channel.value)) + self._public + _raw(self._fresh)

    def proof(self, challenge: bytes) -> bytes | None:
        """The answer to the server's challenge; None if that is not the server it should be.

        Raises:
            ProtocolError: The challenge is malformed.
        """
        fresh, proof = challenge[:_KEY], challenge[_KEY:]
        shared = (
            _exchange(self._fresh, self._server),
            _exchange(self._own, fresh),
            _exchange(self._fresh, fresh),
        )
        names = (self._public, self._server, _raw(self._fresh), fresh)
        proofs = _proofs(shared, self._channel, self._certificate, names)
        return proofs.client if hmac.compare_digest(proofs.server, proof) else None


class ServerHandshake:
    """The server's side: greeting in, challenge out, proof in.

    Args:
        keys: Its own keys.
        channel: What it listens for.
        certificate: What :func:`certificate_name` gave for its certificate.

    Attributes:
        public: The client's public key in Z85, of which :meth:`is_proven` tells whether it is its own.
    """

    def __init__(self, keys: KeyPair, channel: Channel, certificate: bytes) -> None:
        self._keys = keys
        self._channel = channel
        self._certificate = certificate
        self._expected = b""
        self.public = ""

    def challenge(self, greeting: bytes) -> bytes:
        """The answer to a greeting.

        Raises:
            ProtocolError: It is none of this version, or for another channel.
        """
        check_beginning(greeting)
        if greeting[len(MAGIC) + 1] != self._channel.value:
            raise ProtocolError("it greeted for another channel than the one of this port")
        rest = greeting[len(MAGIC) + 2 :]
        public, client_fresh = rest[:_KEY], rest[_KEY:]
        own, fresh = _private(self._keys), X25519PrivateKey.generate()
        shared = (_exchange(own, client_fresh), _exchange(fresh, public), _exchange(fresh, client_fresh))
        names = (public, z85.decode(self._keys.public), client_fresh, _raw(fresh))
        proofs = _proofs(shared, self._channel, self._certificate, names)
        self.public, self._expected = z85.encode(public).decode("ascii"), proofs.client
        return _raw(fresh) + proofs.server

    def is_proven(self, proof: bytes) -> bool:
        """Whether the client holds the secret half of :attr:`public`."""
        return bool(self._expected) and hmac.compare_digest(self._expected, proof)


def check_beginning(received: bytes) -> None:
    """Look at the first bytes of a greeting, however few they are.

    Raises:
        ProtocolError: They are not how a greeting begins.
    """
    if not MAGIC.startswith(received[: len(MAGIC)]):
        raise ProtocolError("it did not greet as a node does")
    if len(received) > len(MAGIC) and received[len(MAGIC)] != VERSION:
        raise ProtocolError(f"it greeted in version {received[len(MAGIC)]}; this is version {VERSION}")


def _proofs(
    shared: tuple[bytes, bytes, bytes], channel: Channel, certificate: bytes, names: tuple[bytes, ...]
) -> Proofs:
    about = b"".join((MAGIC, bytes((VERSION, channel.value)), certificate, *names))
    keys = HKDF(algorithm=SHA256(), length=2 * _KEY, salt=None, info=about).derive(b"".join(shared))
    server = hmac.digest(keys[:_KEY], b"server" + about, "sha256")
    client = hmac.digest(keys[_KEY:], b"client" + about, "sha256")
    return Proofs(server, client)


def _private(keys: KeyPair) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(z85.decode(keys.secret))


def _raw(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _exchange(own: X25519PrivateKey, other: bytes) -> bytes:
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError as error:
        # A point of small order, or not 32 bytes: the secret would not depend on ours.
        raise ProtocolError("it sent no usable public key") from error
