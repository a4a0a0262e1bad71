import orjson

from pouch.agents.engines.lines import LINE_BYTES_MAX, Lines, event_of, log
from pouch.agents.engines.types import EVENT_BYTES_MAX


def test_pieces_become_lines() -> None:
    lines = Lines()
    assert list(lines.feed(b"a\nb")) == [b"a"]
    assert list(lines.feed(b"c\n\nd")) == [b"bc", b""]
    assert list(lines.rest()) == [b"d"]
    assert list(lines.rest()) == []


def test_a_line_without_an_end_is_cut_and_its_rest_left_out() -> None:
    lines = Lines()
    piece = b"x" * 1024 * 1024
    found = [line for _ in range(8) for line in lines.feed(piece)]
    assert [len(line) for line in found] == [LINE_BYTES_MAX]
    assert list(lines.feed(b"rest\nnext\n")) == [b"next"]


def test_an_event_is_never_larger_than_may_be_kept() -> None:
    for data in (
        {"text": "\u00fc" * 200_000},
        {"text": "\x00" * 200_000},
        {"a": ["b"] * 100_000},
        {"x" * 1000: "y" * 70_000},
    ):
        event = event_of("message", data)
        assert len(orjson.dumps(dict(event.data))) <= EVENT_BYTES_MAX
        assert event.data["is_cut"] is True
    assert len(str(log(b"\xff" * 1_000_000).data["text"])) <= 16 * 1024
