"""TLS for the TCP transport: a certificate made for one run, and what both ends insist on."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from concurrence.transport.tcp_handshake import certificate_name

_NAME = "concurrence"
_LIFE = dt.timedelta(days=3650)  # nobody looks: a certificate ends with its process


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """What a server needs.

    Attributes:
        context: Makes the server's side of a connection.
        name: What stands for the certificate in the proofs of identity.
    """

    context: ssl.SSLContext
    name: bytes


def server_tls() -> ServerTLS:
    """TLS 1.3 with a fresh certificate, whose secret key never leaves this process."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .sign(key, None)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # sessions are not resumed: each connection proves anew who it is
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Python's TLS reads keys from files only: from one in memory, which no other process sees.
    with os.fdopen(os.memfd_create("certificate"), "wb") as file:
        file.write(secret + certificate.public_bytes(Encoding.PEM))
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return ServerTLS(context, certificate_name(certificate.public_bytes(Encoding.DER)))


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """What a client needs.

    Attributes:
        context: Makes the client's side of a connection.
    """

    context: ssl.SSLContext


def client_tls() -> ClientTLS:
    """TLS 1.3 that takes any certificate: the server proves right afterwards that it is its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    # No authority knows the certificate, which is new at each start. What makes it the master's own is the proof
    # of tcp_handshake, into which it goes, and without which not one byte more is sent.
    context.verify_mode = ssl.CERT_NONE
    return ClientTLS(context)


def is_loopback(host: str) -> bool:
    """Whether a network address never leaves this machine."""
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
