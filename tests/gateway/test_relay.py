"""However a stream is cut into pieces, the caller gets the same bytes and the same is counted."""

import time
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.gateway.events import EVENT_BYTES_MAX, EventReader, data_of
from pouch.gateway.relay import Relay, text_bytes
from support.upstream import chunk, usage, usage_chunk

USAGE = b'{"cost":0.5}'


def cut(data: st.DataObject, stream: bytes) -> list[bytes]:
    """Any pieces that make up the stream, empty ones and single bytes among them."""
    where = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[low:high] for low, high in zip([0, *where], [*where, len(stream)], strict=True)]


def events_in(pieces: list[bytes]) -> list[bytes]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.end()


@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"data: 1", b": note", b"x", b"\xe2\x82\xac"])), st.data())
def test_any_bytes_give_the_same_events_in_any_pieces(words: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(words)
    whole = events_in([stream])
    assert events_in(cut(data, stream)) == whole
    assert events_in([bytes([byte]) for byte in stream]) == whole
    assert all(event.strip(b"\r\n") for event in whole)


@given(st.lists(st.binary(min_size=1).filter(lambda text: not set(text) & set(b"\r\n")), min_size=1), st.data())
def test_what_is_sent_as_an_event_comes_out_as_one(datas: list[bytes], data: st.DataObject) -> None:
    blank = data.draw(st.sampled_from([b"\n\n", b"\r\n\r\n"]))
    stream = b"".join(b"data: " + each + blank for each in datas)
    assert [data_of(event) for event in events_in(cut(data, stream))] == [each.strip() for each in datas]


texts = st.text(max_size=12)
odd_chunks = st.sampled_from(
    [b"{", b"null", b'{"error": {"message": "no"}}', b'{"choices": [5]}', b'{"choices": "x"}', b"\xff", b"[DONE]"]
)
good_chunks = st.one_of(
    st.builds(lambda text: chunk({"content": text}), texts),
    st.builds(lambda text: chunk({"reasoning_content": text}), texts),
    st.builds(lambda text: chunk({"content": text}, usage=usage(1, 2)), texts),
    st.builds(lambda index: chunk({}) | {"choices": [{"index": index, "delta": {"content": "n"}}]}, st.integers(0, 2)),
    st.builds(lambda reason: chunk({}, reason), st.sampled_from(["stop", "length"])),
    st.builds(lambda output: usage_chunk(usage(10, output)), st.integers(0, 50)),
    st.just({"id": "c1", "choices": []}),
    st.just({"id": "c1", "note": "no choices"}),
).map(orjson.dumps)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Mostly good chunks, sometimes something odd, with comments and either line end."""
    chunks = draw(st.lists(st.one_of(good_chunks, good_chunks, good_chunks, odd_chunks), max_size=10))
    ending = draw(st.sampled_from([b"", b"data: [DONE]\n\n", orjson.dumps(chunk({}, "stop"))]))
    parts = []
    for each in chunks:
        if draw(st.integers(0, 9)) == 0:
            parts.append(b": still here")
        parts.append(b"data: " + each)
    line_end = draw(st.sampled_from([b"\n", b"\r\n"]))
    return b"".join(part + line_end * 2 for part in parts) + ending


@dataclass
class Outcome:
    """What the caller got, and what is known in the end."""

    onward: bytes
    closing: bytes
    counted: int
    usage: object
    is_whole: bool
    failed: str | None


def relayed(pieces: list[bytes], *, asked_usage: bool) -> Outcome:
    """As `chat` does it."""
    relay, onward = Relay(asked_usage), b""
    for piece in pieces:
        onward += relay.feed(piece)
        if relay.is_done or relay.failed is not None:
            break
    onward += relay.end()
    closing = b"" if relay.failed is not None and not relay.is_whole else relay.closing(USAGE)
    failed = relay.failed.message if relay.failed is not None else None
    return Outcome(onward, closing, relay.text_bytes, relay.usage, relay.is_whole, failed)


@given(streams(), st.booleans(), st.data())
def test_any_stream_reaches_the_caller_the_same_in_any_pieces(
    stream: bytes, asked_usage: bool, data: st.DataObject
) -> None:
    whole = relayed([stream], asked_usage=asked_usage)
    assert relayed(cut(data, stream), asked_usage=asked_usage) == whole
    assert relayed([bytes([byte]) for byte in stream], asked_usage=asked_usage) == whole


@given(st.lists(texts), st.booleans(), st.data())
def test_the_text_arrives_unchanged_and_is_counted_in_bytes(
    words: list[str], asked_usage: bool, data: st.DataObject
) -> None:
    chunks = [chunk({"content": word}) for word in words] + [chunk({}, "stop"), usage_chunk(usage(3, 4))]
    stream = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"
    got = relayed(cut(data, stream), asked_usage=asked_usage)
    events = [orjson.loads(event.removeprefix(b"data: ")) for event in events_in([got.onward + got.closing])[:-1]]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "".join(words)
    assert got.counted == len("".join(words).encode())
    assert [event.get("usage") for event in events if "usage" in event] == [{"cost": 0.5}]
    assert sum(choice["finish_reason"] == "stop" for event in events for choice in event["choices"]) == 1
    assert got.closing.endswith(b"data: [DONE]\n\n")


def test_an_event_of_megabytes_takes_time_in_proportion() -> None:
    """In pieces of a kilobyte: looking through all of it again for each piece would take minutes."""
    reader, piece = EventReader(), b"x" * 1024
    began = time.process_time()
    for _ in range(10 * 1024):
        assert reader.feed(piece) == []
    (event,) = reader.feed(b"\n\n")
    assert len(event) == 10 * 1024 * 1024
    assert time.process_time() - began < 2


@pytest.mark.parametrize("pieces", [1, 7])
def test_an_event_beyond_the_limit_ends_the_stream_and_those_before_it_go_on(pieces: int) -> None:
    good, long = b"data: 1\n\n", b"x" * (EVENT_BYTES_MAX + 1)
    stream = good + long + b"\n\n" + good
    size = -(-len(stream) // pieces)
    reader, events = EventReader(), []
    for start in range(0, len(stream), size):
        events += reader.feed(stream[start : start + size])
        if reader.is_overlong:
            break
    assert reader.is_overlong
    assert events == [b"data: 1"]


def test_tool_calls_and_reasoning_count_as_output() -> None:
    call = {"index": 0, "function": {"name": "read", "arguments": '{"path": "ä"}'}}
    assert text_bytes({"content": "ab", "reasoning": "é", "tool_calls": [call, None]}) == 2 + 2 + 4 + 14
