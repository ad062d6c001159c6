# pyright: reportPrivateUsage=false
"""What is asked of brokers and read of their answers, beside what aiokafka writes and reads."""

from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4, FetchRequest_v11, FetchResponse_v11
from hypothesis import example, given
from hypothesis import strategies as st

from streams.runtime.fetch_protocol import Request, Response
from streams.runtime.fetch_sessions import FetchSession

int8, int16 = st.integers(0, 2**7 - 1), st.integers(-(2**15), 2**15 - 1)
int32, int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
asked = st.builds(
    FetchRequest,
    max_wait_time=int32,
    min_bytes=int32,
    max_bytes=int32,
    isolation_level=int8,
    topics=st.lists(
        st.tuples(
            st.text(max_size=20),
            st.lists(st.tuples(int32, int64, int32), min_size=1, max_size=5, unique_by=lambda one: one[0]),
        ),
        max_size=4,
        unique_by=lambda one: one[0],
    ),
    rack_id=st.text(max_size=5),
)
partition = st.tuples(
    int32,
    int16,
    int64,
    int64,
    int64,
    st.none() | st.lists(st.tuples(int64, int64), max_size=3),
    int32,
    st.none() | st.binary(max_size=100),
)
topics = st.lists(st.tuples(st.text(max_size=20), st.lists(partition, max_size=5)), max_size=4)
answered = st.builds(FetchResponse_v11, int32, int16, int32, topics)


@given(asked)
def test_a_first_request_is_what_aiokafka_would_send_but_that_it_asks_for_a_session(request: FetchRequest) -> None:
    versions = {FetchRequest.API_KEY: (4, 17)}
    ours: Any = Request.of(request, FetchSession()).prepare(versions)
    theirs: Any = request.prepare(versions)
    theirs.session_epoch = 0  # else -1: none
    assert ours.encode() == theirs.encode()
    assert ours.build_request_header(7, "me").encode() == theirs.build_request_header(7, "me").encode()
    assert Request.of(request, FetchSession()).topics == request.topics


@given(asked, asked)
def test_a_later_request_says_what_has_changed(first: FetchRequest, second: FetchRequest) -> None:
    versions, session = {FetchRequest.API_KEY: (4, 17)}, FetchSession()
    Request.of(first, session).prepare(versions)
    session.answered(0, 7)
    written: Any = FetchRequest_v11.decode(Request.of(second, session).prepare(versions).encode())
    before, after = (dict(_partitions(one.topics)) for one in (first, second))
    assert (written.session_id, written.session_epoch) == (7, 1)
    named = {(topic, number): (offset, most) for topic, number, _, offset, _, most in _flat(written.topics)}
    assert named == {where: what for where, what in after.items() if before.get(where) != what}
    left = {(topic, number) for topic, numbers in written.forgotten_topics_data for number in numbers}
    assert left == before.keys() - after.keys()
    assert written.rack_id == second._rack_id


def _partitions(topics: Any) -> Any:
    return (((topic, number), (offset, most)) for topic, numbers in topics for number, offset, most in numbers)


def _flat(topics: Any) -> Any:
    return ((topic, *partition) for topic, partitions in topics for partition in partitions)


@given(asked)
def test_a_broker_that_does_not_know_the_newest_version_gets_aiokafkas_request(request: FetchRequest) -> None:
    versions = {FetchRequest.API_KEY: (0, 4)}
    ours = Request.of(request, FetchSession()).prepare(versions)
    assert type(ours) is FetchRequest_v4
    assert ours.encode() == request.prepare(versions).encode()


@given(answered, st.binary(max_size=10))
def test_a_response_is_read_as_aiokafka_reads_it(response: FetchResponse_v11, header: bytes) -> None:
    data = BytesIO(header + response.encode())
    data.seek(len(header))
    read = Response.decode(data)
    assert vars(read) == vars(FetchResponse_v11.decode(response.encode()))
    assert read.API_VERSION == 11
    assert vars(Response.decode(response.encode())) == vars(read)


@given(answered, st.integers(0, 1_000_000))
@example(FetchResponse_v11(0, 0, 0, [("ü", [])]), 17)  # in the middle of a character
def test_a_response_that_ends_too_early_is_refused(response: FetchResponse_v11, at: int) -> None:
    encoded = response.encode()
    with pytest.raises(ValueError, match="ends too early"):
        Response.decode(encoded[: at % len(encoded)])
