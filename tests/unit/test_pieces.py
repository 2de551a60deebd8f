"""Large messages in pieces: whatever the sizes, what arrives is what left; and what else comes is refused."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.wire.codec import Frame, Parcel, decoder_to_slave, encode, frame_size
from concurrence.wire.messages import Piece, PieceTaken, Ping
from concurrence.wire.pieces import (
    FIRST_WINDOW,
    LEAST_WINDOW,
    MAX_MESSAGE_FRAMES,
    MOST_WINDOW,
    PIECE_BYTES,
    WHOLE_BYTES,
    PieceReceiver,
    PieceSender,
    check_whole,
)

LIMIT = 100_000
decoder = decoder_to_slave()


class Line:
    """A connection that takes as many messages as it is told."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.sent: list[Parcel[Piece]] = []

    def send(self, frames: Sequence[Frame]) -> bool:
        if len(self.sent) >= self.room:
            return False
        (parcel,) = decoder.decode(frames)
        assert isinstance(parcel.message, Piece)
        self.sent.append(Parcel(parcel.message, parcel.frames))
        return True


def piece(number: int, sizes: list[int], *bodies: bytes) -> Parcel[Piece]:
    return Parcel(Piece(len(bodies), number, sizes), bodies)


def sender(whole: float = 0, size: int = 1_000) -> PieceSender:
    return PieceSender(LIMIT, whole=whole, piece=size)


@settings(max_examples=200, deadline=None)
@given(
    messages=st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=8), min_size=1, max_size=4),
    size=st.integers(1, 64),
    room=st.integers(1, 9),
    ahead=st.integers(1, MOST_WINDOW),
)
def test_what_arrives_is_what_left(messages: list[list[bytes]], size: int, room: int, ahead: int) -> None:
    """However large the pieces are, however little the line takes at a time, and however late it answers."""
    pieces, receiver, line = PieceSender(LIMIT, whole=-1, piece=size), PieceReceiver(LIMIT), Line()
    arrived: list[list[bytes]] = []
    for frames in messages:
        assert pieces.is_large(frames)
        pieces.begin(frames)
        unanswered: list[Parcel[Piece]] = []
        while pieces.is_busy or unanswered:
            line.room = room
            pieces.go_on(line.send, 0.0)
            assert sum(len(body) for parcel in line.sent[-1:] for body in parcel.frames) <= size
            unanswered += line.sent
            line.sent.clear()
            assert len(unanswered) <= MOST_WINDOW
            for parcel in unanswered[:ahead]:
                whole = receiver.take(parcel)
                pieces.taken(parcel.message.number, 0.0)
                arrived += [[bytes(frame) for frame in whole]] if whole is not None else []
            del unanswered[:ahead]
    assert arrived == messages
    assert pieces.is_settled


class TestSender:
    def test_small_messages_travel_whole(self) -> None:
        pieces = PieceSender(LIMIT * 100)
        assert not pieces.is_large([b"head", bytes(WHOLE_BYTES - 4)])
        assert pieces.is_large([b"head", bytes(WHOLE_BYTES - 3)])

    def test_what_left_whole_makes_the_next_message_one_of_pieces(self) -> None:
        """Its first piece is answered for both, and so is the smaller."""
        pieces, line = sender(whole=600), Line()
        frames = [bytes(300)]
        for _ in range(2):
            assert pieces.is_settled or pieces.is_unasked
            assert not pieces.is_large(frames)
            pieces.went_whole(frames)
        assert pieces.is_unasked
        assert not pieces.is_settled
        assert pieces.is_large([b"a"])
        pieces.begin([bytes(1_000)])
        pieces.go_on(line.send, 0.0)
        assert [frame_size(parcel.frames[0]) for parcel in line.sent] == [400, 600]
        assert not pieces.is_unasked
        pieces.taken(2, 0.0)
        assert pieces.is_settled
        assert not pieces.is_large(frames)

    def test_all_travels_whole_if_it_is_to(self) -> None:
        pieces = sender(whole=inf)
        pieces.went_whole([bytes(10_000)])
        assert not pieces.is_large([bytes(10_000)])
        assert pieces.is_settled

    def test_no_more_than_a_window_is_under_way(self) -> None:
        pieces, line = sender(), Line()
        pieces.begin([bytes(FIRST_WINDOW * 1_000 + 1)])
        assert pieces.go_on(line.send, 0.0)
        assert len(line.sent) == FIRST_WINDOW
        assert pieces.is_busy
        pieces.taken(1, 10.0)
        assert pieces.go_on(line.send, 10.0)
        assert len(line.sent) == FIRST_WINDOW + 1
        assert not pieces.is_busy
        assert not pieces.is_settled, "until all have come"
        pieces.taken(FIRST_WINDOW + 1, 10.0)
        assert pieces.is_settled

    @pytest.mark.parametrize(
        ("rate", "latency", "least", "most"),
        [
            (
                100_000.0,
                0.001,
                LEAST_WINDOW,
                LEAST_WINDOW,
            ),  # a thin line: what is sent behind waits for two pieces
            (12_500_000.0, 0.001, 5, 17),  # 100 Mbit/s
            (12_500_000.0, 0.1, 12, 28),  # the same, far away: enough for all of it
            (1e9, 0.0001, MOST_WINDOW, MOST_WINDOW),
        ],
    )
    def test_the_window_follows_from_how_long_pieces_wait(
        self, rate: float, latency: float, least: int, most: int
    ) -> None:
        pieces = PieceSender(1 << 40, whole=0, piece=PIECE_BYTES)
        now, free, line = 0.0, 0.0, Line()
        flying: list[tuple[float, int]] = []
        pieces.begin([bytes(64 * 1024 * 1024)])
        under_way: list[int] = []
        while pieces.is_busy:
            pieces.go_on(line.send, now)
            for parcel in line.sent:
                free = max(free, now) + PIECE_BYTES / rate
                flying.append((free + 2 * latency, parcel.message.number))
            line.sent.clear()
            under_way.append(len(flying))
            now, number = flying.pop(0)
            pieces.taken(number, now)
        settled = under_way[len(under_way) // 2 : -MOST_WINDOW]
        assert least <= min(settled)
        assert max(settled) <= most

    def test_what_the_line_did_not_take_goes_first_later(self) -> None:
        pieces, line = sender(), Line(room=1)
        pieces.begin([b"a" * 1_000 + b"b" * 1_000 + b"c"])
        assert not pieces.go_on(line.send, 0.0)
        line.room = 3
        assert pieces.go_on(line.send, 0.0)
        assert [bytes(parcel.frames[0])[:1] for parcel in line.sent] == [b"a", b"b", b"c"]
        assert [parcel.message.number for parcel in line.sent] == [1, 2, 3]

    def test_a_reset_drops_what_is_under_way_and_late_answers_change_nothing(self) -> None:
        pieces, line = sender(), Line()
        pieces.begin([bytes(50_000)])
        pieces.go_on(line.send, 0.0)
        pieces.went_whole([bytes(10)])
        pieces.reset()
        assert pieces.is_settled
        line.sent.clear()
        pieces.begin([bytes(50_000)])
        pieces.go_on(line.send, 0.0)
        assert len(line.sent) == FIRST_WINDOW
        for number in (1, FIRST_WINDOW, 10_000):  # of the message before, and of none
            pieces.taken(number, 9.0)
            assert pieces.go_on(line.send, 9.0)
            assert len(line.sent) == FIRST_WINDOW
        pieces.taken(line.sent[0].message.number, 9.0)
        assert pieces.go_on(line.send, 9.0)
        assert len(line.sent) > FIRST_WINDOW

    def test_large_frames_are_not_copied(self) -> None:
        data = bytearray(3_000)
        pieces, line = sender(), Line()
        pieces.begin([memoryview(data)])
        pieces.go_on(line.send, 0.0)
        data[2_999] = 7
        assert bytes(line.sent[-1].frames[-1])[-1] == 7

    def test_what_the_other_end_would_not_take_does_not_leave(self) -> None:
        pieces = sender()
        with pytest.raises(MessageTooLarge, match="100,001 bytes exceeds"):
            pieces.is_large([b"head", bytes(LIMIT + 1)])
        with pytest.raises(MessageTooLarge):
            pieces.is_large([b"head", *([bytes(LIMIT)] * MAX_MESSAGE_FRAMES)])
        with pytest.raises(MessageTooLarge):
            pieces.is_large([b"x"] * 70_000)


class TestReceiver:
    def test_one_that_begins_anew_has_given_up_what_it_had_begun(self) -> None:
        receiver = PieceReceiver(LIMIT)
        assert receiver.take(piece(1, [4], b"ab")) is None
        assert receiver.take(piece(7, [3], b"x")) is None
        assert receiver.take(piece(8, [], b"yz")) == [b"xyz"]

    @pytest.mark.parametrize(
        ("before", "bad"),
        [
            ([], piece(1, [], b"a")),  # continues nothing
            ([piece(1, [4], b"ab")], piece(3, [], b"cd")),  # one was lost
            ([piece(1, [4], b"ab")], piece(1, [], b"ab")),  # one came twice
            ([piece(1, [4], b"ab")], piece(2, [], b"cde")),  # longer than announced
            ([piece(1, [4], b"ab")], piece(2, [], b"cd", b"e")),  # more frames than announced
            ([piece(1, [4], b"ab")], piece(2, [], b"")),  # says nothing
            ([], piece(1, [4], b"abcde")),
            ([], piece(1, [LIMIT + 1], b"a")),
            ([], piece(1, [LIMIT] * (MAX_MESSAGE_FRAMES + 1), b"a")),
            ([piece(1, [2], b"ab")], piece(2, [], b"c")),  # after the end
        ],
    )
    def test_what_is_not_the_next_piece(self, before: list[Parcel[Piece]], bad: Parcel[Piece]) -> None:
        receiver = PieceReceiver(LIMIT)
        for each in before:
            receiver.take(each)
        with pytest.raises(ProtocolError):
            receiver.take(bad)

    def test_room_is_made_when_a_frame_begins_and_not_for_what_is_announced(self) -> None:
        receiver = PieceReceiver(1 << 60)  # nothing could hold that
        assert receiver.take(piece(1, [1, 1 << 59], b"a")) is None

    def test_small_frames_are_bytes_and_large_ones_can_be_of_any_size(self) -> None:
        receiver = PieceReceiver(1 << 30)
        large = 5 * 1024 * 1024
        receiver.take(piece(1, [3, large], b"ab"))
        body = bytes(range(256)) * (large // 256)
        frames = receiver.take(piece(2, [], b"c", body[:7])) or receiver.take(piece(3, [], body[7:]))
        assert frames is not None
        assert isinstance(frames[0], bytes)
        assert frames[0] == b"abc"
        assert frames[1] == body

    def test_what_was_put_together_consists_of_no_pieces(self) -> None:
        check_whole([Parcel(Ping())])
        for message in (Piece(0, 1), PieceTaken(1)):
            with pytest.raises(ProtocolError):
                check_whole([Parcel(Ping()), Parcel(message)])


def test_a_piece_of_many_small_frames_is_bounded() -> None:
    pieces, line = PieceSender(LIMIT, whole=0, piece=PIECE_BYTES), Line()
    frames = [b"x"] * 3_000
    pieces.begin(frames)
    pieces.go_on(line.send, 0.0)
    assert max(len(parcel.frames) for parcel in line.sent) <= 1_024
    receiver = PieceReceiver(LIMIT)
    *_, whole = [receiver.take(parcel) for parcel in line.sent]
    assert whole == frames
    assert len(encode([line.sent[0]])[0]) < 20_000
