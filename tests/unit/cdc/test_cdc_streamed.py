"""Golden bytes come from PostgreSQL 18: pg_logical_slot_peek_binary_changes, versions 2 and 4."""

import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.cdc import streamed as module
from connectors.cdc.errors import Disconnected, MalformedMessage
from connectors.cdc.pgoutput import Begin, Commit, Insert, StreamAbort, StreamCommit, StreamStart, StreamStop, decode
from connectors.cdc.replication import DATA_HEADER, KIND, RUN_MESSAGES, start_lsn
from connectors.cdc.streamed import CONTROL, StreamedTransactions

EPOCH_US = 946_684_800_000_000


GOLDEN = {
    "530000031901": StreamStart(793, first=True),
    "530000031900": StreamStart(793, first=False),
    "45": StreamStop(),
    "630000031900000000001adc0510000000001adc0548000303c76b33a83f": StreamCommit(
        793, 0x1ADC0510, 0x1ADC0548, EPOCH_US + 0x303C76B33A83F
    ),
    "41000003190000031a": StreamAbort(793, 794),
    "41000003190000031a000000001adc0488000303c76b33a757": StreamAbort(793, 794),
}


def data(body: bytes, lsn: int = 1) -> bytes:
    return b"w" + struct.pack(">QQQ", lsn, lsn, 0) + body


def start(xid: int, *, first: bool = True, lsn: int = 1) -> bytes:
    return data(b"S" + struct.pack(">IB", xid, first), lsn)


STOP = data(b"E")


def commit(xid: int, lsn: int = 90, end: int = 91) -> bytes:
    return data(b"c" + struct.pack(">IBQQq", xid, 0, lsn, end, 5), lsn)


def abort(xid: int, subxid: int, *, where: bool = False) -> bytes:
    return data(b"A" + struct.pack(">II", xid, subxid) + (bytes(16) if where else b""))


def insert(subxid: int, key: int, lsn: int = 1) -> bytes:
    text = b"%d" % key
    return data(b"I" + struct.pack(">II", subxid, 7) + b"N\0\1t" + struct.pack(">I", len(text)) + text, lsn)


def relation(subxid: int) -> bytes:
    return data(b"R" + struct.pack(">II", subxid, 7) + b"s\0t\0d\0\0")


@pytest.fixture
def transactions(tmp_path: Path) -> Iterator[StreamedTransactions]:
    with closing(StreamedTransactions(tmp_path)) as opened:
        yield opened


def feed(transactions: StreamedTransactions, *messages: bytes) -> list[bytes]:
    """Return what comes out, messages of other transactions too."""
    out: list[bytes] = []
    for message in messages:
        if message[KIND] not in CONTROL:
            if transactions.inside:
                transactions.keep(message)
            else:
                out.append(message)
        elif (runs := transactions.take(message)) is not None:
            out += [one for run in runs for one in run]
    return out


def keys(messages: list[bytes]) -> list[int]:
    changes = [decode(message, DATA_HEADER) for message in messages]
    texts = [change.new[0] for change in changes if isinstance(change, Insert)]
    return [int(text) for text in texts if isinstance(text, bytes)]


@pytest.mark.parametrize(("text", "message"), GOLDEN.items())
def test_the_messages_of_streaming_are_read(text: str, message: object) -> None:
    golden = bytes.fromhex(text)
    assert decode(golden) == message
    for end in range(len(golden)):
        if golden[:1] == b"A" and end == 9:
            continue  # the form of version 2
        with pytest.raises(MalformedMessage):
            decode(golden[:end])
    with pytest.raises(MalformedMessage):
        decode(golden + b"\0")


def test_a_transaction_comes_out_at_its_commit_in_the_form_of_version_1(transactions: StreamedTransactions) -> None:
    assert feed(transactions, start(5, lsn=3), relation(5), insert(5, 1, 10), STOP) == []
    out = feed(transactions, start(5, first=False, lsn=20), insert(6, 2, 20), STOP, commit(5))
    assert decode(out[0], DATA_HEADER) == Begin(90, EPOCH_US + 5, 5)
    assert decode(out[-1], DATA_HEADER) == Commit(90, 91, EPOCH_US + 5)
    assert keys(out) == [1, 2]
    # It begins at its first change, as one that is not streamed: the id of its metadata tells.
    assert [start_lsn(message) for message in out] == [10, 1, 10, 20, 90]


def test_a_transaction_begins_at_its_first_change_that_was_not_rolled_back(transactions: StreamedTransactions) -> None:
    messages = [start(5, lsn=3), relation(5), insert(6, 1, 10), insert(5, 2, 20), STOP, abort(5, 6), commit(5)]
    assert start_lsn(feed(transactions, *messages)[0]) == 20
    assert start_lsn(feed(transactions, start(7, lsn=3), insert(8, 1, 10), STOP, abort(7, 8), commit(7))[0]) == 3


@pytest.mark.parametrize("where", [False, True])
def test_what_was_rolled_back_to_a_savepoint_is_dropped(transactions: StreamedTransactions, where: bool) -> None:
    feed(transactions, start(5), insert(5, 1), relation(6), insert(6, 2), insert(7, 3), STOP)
    feed(transactions, abort(5, 6, where=where), start(5, first=False), insert(8, 4), STOP)
    out = feed(transactions, commit(5))
    assert keys(out) == [1, 3, 4]
    assert sum(message[KIND] == b"R" for message in out) == 1  # the server does not describe the table again


def test_a_transaction_that_was_rolled_back_leaves_nothing(transactions: StreamedTransactions) -> None:
    assert feed(transactions, start(5), insert(5, 1), STOP, abort(5, 5)) == []
    with pytest.raises(MalformedMessage, match="transaction 5 is committed without a beginning"):
        feed(transactions, commit(5))


def test_transactions_that_run_at_the_same_time_come_out_in_the_order_of_their_commits(
    transactions: StreamedTransactions,
) -> None:
    other = data(b"B" + bytes(20))
    feed(transactions, start(5), insert(5, 1), STOP, start(6), insert(6, 2), STOP)
    assert feed(transactions, other) == [other]
    assert keys(feed(transactions, start(5, first=False), insert(5, 3), STOP, commit(6))) == [2]
    assert keys(feed(transactions, commit(5))) == [1, 3]


def test_a_large_transaction_comes_out_in_runs(
    transactions: StreamedTransactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 1_000)  # frames lie across the borders of what is read at once
    count = 3 * RUN_MESSAGES
    feed(transactions, start(5), *(insert(5, key) for key in range(count)), STOP)
    runs = transactions.take(commit(5))
    assert runs is not None
    sizes: list[int] = []
    out: list[bytes] = []
    for run in runs:
        sizes.append(len(run))
        out += run
    assert max(sizes) <= RUN_MESSAGES
    assert keys(out) == list(range(count))


@pytest.mark.parametrize(
    "messages",
    [
        [start(5, first=False)],
        [start(5), start(6)],
        [STOP],
        [start(5), insert(5, 1), commit(5)],
        [start(5), abort(5, 6)],
        [start(5), data(b"I\0")],
        [commit(5)],
        [start(5), data(b"")],
    ],
)
def test_messages_at_the_wrong_time_are_refused(transactions: StreamedTransactions, messages: list[bytes]) -> None:
    feed(transactions, *messages[:-1])
    with pytest.raises(MalformedMessage):
        feed(transactions, messages[-1])


def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_bytes(b"")
    with pytest.raises(
        Disconnected, match=r"data_dir: a large transaction cannot be kept .* source\.streaming = false"
    ):
        StreamedTransactions(occupied / "folder").take(start(5))


@given(st.lists(st.binary(max_size=40).map(data) | st.sampled_from([start(1), STOP, commit(1), abort(1, 2)])))
@settings(max_examples=2 * settings().max_examples)
def test_whatever_comes_is_taken_or_a_typed_error(messages: list[bytes]) -> None:
    with closing(StreamedTransactions()) as transactions, suppress(MalformedMessage):
        feed(transactions, *messages)


PROGRAM = [
    *(start(5, lsn=3), relation(5), insert(5, 1, 10), insert(6, 2, 11), STOP),
    *(abort(5, 6), abort(5, 6, where=True), start(5, first=False), relation(5), insert(7, 3, 12), STOP, commit(5)),
]


@given(st.integers(0, len(PROGRAM) - 1), st.integers(0, 60), st.integers(0, 255), st.booleans())
@settings(max_examples=10 * settings().max_examples)
def test_a_damaged_message_of_a_streamed_transaction_is_taken_or_a_typed_error(
    which: int, place: int, byte: int, cut: bool
) -> None:
    """Versions 2 and 4 put the number of the transaction into every message; what comes out is in the form of 1."""
    damaged = bytearray(PROGRAM[which])
    place = DATA_HEADER + place % (len(damaged) - DATA_HEADER)
    if cut:
        del damaged[max(place, DATA_HEADER + 1) :]
    else:
        damaged[place] = byte
    with closing(StreamedTransactions()) as transactions, suppress(MalformedMessage):
        for message in feed(transactions, *PROGRAM[:which], bytes(damaged), *PROGRAM[which + 1 :]):
            decode(message, DATA_HEADER)


@given(st.sampled_from(sorted(GOLDEN)), st.integers(0, 30), st.integers(0, 255), st.data())
def test_a_damaged_message_of_streaming_is_a_message_or_a_typed_error(
    text: str, place: int, byte: int, drawn: st.DataObject
) -> None:
    damaged = bytearray(bytes.fromhex(text))
    damaged[place % len(damaged)] = byte
    cut = drawn.draw(st.integers(0, len(damaged)))
    for candidate in (bytes(damaged), bytes(damaged[:cut]), bytes(damaged) + b"\0"):
        with suppress(MalformedMessage):
            decode(candidate)


# Savepoints as a program uses them: open one, write, release the last, roll the last one back.
steps = st.lists(st.sampled_from(["open", "write", "write", "release", "rollback", "part"]), max_size=40)


@given(steps)
@settings(max_examples=2 * settings().max_examples)
def test_exactly_what_was_not_rolled_back_comes_out(program: list[str]) -> None:
    subxids, next_subxid, key = [5], 6, 0
    written: list[tuple[int, tuple[int, ...]]] = []
    released: dict[int, list[int]] = {5: [5]}  # with a savepoint go those that were released into it
    aborted: set[int] = set()
    messages = [start(5)]
    for step in program:
        if step == "open":
            subxids.append(next_subxid)
            released[next_subxid] = [next_subxid]
            next_subxid += 1
        elif step == "write":
            key += 1
            written.append((key, (subxids[-1],)))
            messages.append(insert(subxids[-1], key))
        elif step == "part":
            messages += [STOP, start(5, first=False)]
        elif len(subxids) > 1:
            last = subxids.pop()
            if step == "release":
                released[subxids[-1]] += released[last]
            else:
                aborted.update(released[last])
                messages += [STOP, *(abort(5, one) for one in released[last]), start(5, first=False)]
    with closing(StreamedTransactions()) as transactions:
        out = feed(transactions, *messages, STOP, commit(5))
    assert keys(out) == [key for key, (subxid,) in written if subxid not in aborted]
