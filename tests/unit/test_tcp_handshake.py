"""The proofs of identity: each end finds out whether the other holds its key, and nobody can sit in between."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zmq.utils import z85

from concurrence.errors import ProtocolError
from concurrence.transport.security import KeyPair, new_key_pair
from concurrence.transport.tcp_handshake import (
    CHALLENGE_BYTES,
    GREETING_BYTES,
    MAGIC,
    NO_CERTIFICATE,
    PROOF_BYTES,
    VERSION,
    Channel,
    ClientHandshake,
    ServerHandshake,
    certificate_name,
    check_beginning,
)

MASTER = new_key_pair()
NODE = new_key_pair()
CERTIFICATE = certificate_name(b"the master's")


def client(
    server_key: str = MASTER.public, certificate: bytes = CERTIFICATE, keys: KeyPair = NODE
) -> ClientHandshake:
    return ClientHandshake(keys, server_key, Channel.COMPUTE, certificate)


def server(keys: KeyPair = MASTER, channel: Channel = Channel.COMPUTE) -> ServerHandshake:
    return ServerHandshake(keys, channel, CERTIFICATE)


def test_both_ends_prove_their_keys() -> None:
    here, there = client(), server()
    greeting = here.greeting()
    challenge = there.challenge(greeting)
    proof = here.proof(challenge)
    assert proof is not None
    assert (len(greeting), len(challenge), len(proof)) == (GREETING_BYTES, CHALLENGE_BYTES, PROOF_BYTES)
    assert there.is_proven(proof)
    assert there.public == NODE.public


def test_another_server_is_noticed() -> None:
    here = client()
    assert here.proof(server(new_key_pair()).challenge(here.greeting())) is None


def test_who_names_anothers_key_cannot_prove_it() -> None:
    thief = client(keys=KeyPair(NODE.public, new_key_pair().secret))
    there = server()
    challenge = there.challenge(thief.greeting())
    assert thief.proof(challenge) is None  # what it computes is not what the server does
    assert not there.is_proven(bytes(PROOF_BYTES))


def test_who_sits_in_between_shows_another_certificate() -> None:
    here, there = client(certificate=certificate_name(b"the eavesdropper's")), server()
    assert here.proof(there.challenge(here.greeting())) is None


def test_a_recorded_proof_is_worth_nothing() -> None:
    here, there = client(), server()
    greeting = here.greeting()
    proof = here.proof(there.challenge(greeting))
    assert proof is not None
    again = server()
    again.challenge(greeting)
    assert not again.is_proven(proof)


def test_the_stolen_key_of_a_node_does_not_make_a_master() -> None:
    # With the node's own secret one can compute what its key and any other have in common, and no more.
    impostor = ServerHandshake(KeyPair(MASTER.public, NODE.secret), Channel.COMPUTE, CERTIFICATE)
    here = client()
    assert here.proof(impostor.challenge(here.greeting())) is None


def test_a_proof_before_a_greeting() -> None:
    assert not server().is_proven(b"")
    assert not server().is_proven(bytes(PROOF_BYTES))


def test_channels_are_not_mixed() -> None:
    with pytest.raises(ProtocolError, match="another channel"):
        server(channel=Channel.WORK).challenge(client().greeting())


def test_versions() -> None:
    greeting = bytearray(client().greeting())
    greeting[len(MAGIC)] = VERSION + 1
    with pytest.raises(ProtocolError, match="version 2; this is version 1"):
        server().challenge(bytes(greeting))


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_points_of_small_order(point: bytes) -> None:
    greeting = client().greeting()
    for bad in (greeting[:-32] + point, greeting[:-64] + point + greeting[-32:]):
        with pytest.raises(ProtocolError, match="no usable public key"):
            server().challenge(bad)
    with pytest.raises(ProtocolError, match="no usable public key"):
        client().proof(point + bytes(32))


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\xff\0\0\0", b"\x16\x03\x01", b"concurrence-tls"])
def test_how_a_greeting_does_not_begin(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="did not greet"):
        check_beginning(data)


@given(st.binary(max_size=GREETING_BYTES))
def test_arbitrary_bytes_are_no_greeting(data: bytes) -> None:
    padded = data.ljust(GREETING_BYTES, b"\0")
    with pytest.raises(ProtocolError):
        server().challenge(padded)


@settings(max_examples=30)
@given(st.integers(0, GREETING_BYTES - 1), st.integers(1, 255))
def test_a_greeting_with_any_byte_changed_leads_nowhere(position: int, change: int) -> None:
    here, there = client(), server()
    greeting = bytearray(here.greeting())
    greeting[position] ^= change
    try:
        proof = here.proof(there.challenge(bytes(greeting)))
    except ProtocolError:
        return
    # The highest bit of a public key means nothing; it is part of what is proven all the same.
    assert proof is None


@settings(max_examples=30)
@given(st.binary(min_size=CHALLENGE_BYTES, max_size=CHALLENGE_BYTES))
def test_arbitrary_bytes_are_no_challenge(data: bytes) -> None:
    with suppress(ProtocolError):
        assert client().proof(data) is None


def test_keys_are_the_ones_of_zeromq() -> None:
    assert len(z85.decode(NODE.secret)) == 32
    assert client(certificate=NO_CERTIFICATE).greeting()[17:49] == z85.decode(NODE.public)
