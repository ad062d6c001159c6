# pyright: reportPrivateUsage=false
"""What is asked of brokers and read of their answers, beside what aiokafka writes and reads."""

from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4, FetchRequest_v11, FetchResponse_v11
from aiokafka.protocol.metadata import MetadataRequest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.runtime.fetch_protocol import Request, Response, send_in_one_pass

int8, int16 = st.integers(0, 2**7 - 1), st.integers(-(2**15), 2**15 - 1)
int32, int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
asked = st.builds(
    FetchRequest,
    max_wait_time=int32,
    min_bytes=int32,
    max_bytes=int32,
    isolation_level=int8,
    topics=st.lists(st.tuples(st.text(max_size=20), st.lists(st.tuples(int32, int64, int32), max_size=5)), max_size=4),
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
def test_a_request_is_what_aiokafka_would_send(request: FetchRequest) -> None:
    versions = {FetchRequest.API_KEY: (4, 17)}
    ours, theirs = Request.of(request).prepare(versions), request.prepare(versions)
    assert ours.encode() == theirs.encode()
    assert ours.build_request_header(7, "me").encode() == theirs.build_request_header(7, "me").encode()
    assert Request.of(request).topics == request.topics


@given(asked)
def test_a_broker_that_does_not_know_the_newest_version_gets_aiokafkas_request(request: FetchRequest) -> None:
    versions = {FetchRequest.API_KEY: (0, 4)}
    ours = Request.of(request).prepare(versions)
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


async def test_only_fetches_are_sent_in_another_way() -> None:
    sent: list[tuple[object, Any, object]] = []

    async def client_send(node_id: object, request: Any, *, group: int = 0) -> str:
        sent.append((node_id, request, group))
        return "answer"

    fetch, metadata = FetchRequest(50, 1, 1_000, 1, [("t", [(0, 5, 100)])]), MetadataRequest([])
    assert await send_in_one_pass(client_send, 1, fetch) == "answer"
    assert await send_in_one_pass(client_send, 2, metadata, group=3) == "answer"
    assert [(node, type(request), group) for node, request, group in sent] == [(1, Request, 0), (2, MetadataRequest, 3)]
    built = sent[0][1].prepare({FetchRequest.API_KEY: (4, 11)})
    assert isinstance(built, FetchRequest_v11)
    assert built.RESPONSE_TYPE is Response
    assert "FetchRequest_v11" in repr(built)
