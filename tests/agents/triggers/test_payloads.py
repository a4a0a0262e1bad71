"""The first look at a delivery: what can never start a run goes no further."""

from typing import Any

import orjson
import pytest

from agents.triggers.github_payloads import (
    BOT,
    STRANGER,
    delivery,
    issue,
    issue_comment,
    labeled,
    pull_request,
    review,
    review_comment,
)
from pouch.agents.triggers.github.payloads import Seen, first_look, read_payload


def look(event: str, payload: dict[str, Any]) -> Seen:
    body = orjson.dumps(payload)
    read = read_payload(body)
    assert read is not None
    return first_look(event, read, body, "pouch-test")


@pytest.mark.parametrize(
    ("event", "payload", "facts"),
    [
        ("issue_comment", issue_comment(), {"happening": "issue_mention", "number": "5", "comment": "7"}),
        ("issue_comment", issue_comment(is_pull=True), {"happening": "pull_mention", "number": "5", "comment": "7"}),
        ("issues", labeled(), {"happening": "label", "number": "5", "label": "pouch"}),
        ("pull_request", pull_request(), {"happening": "pull_opened", "number": "6"}),
        ("pull_request", pull_request("ready_for_review"), {"happening": "pull_opened", "number": "6"}),
        ("pull_request_review", review(), {"happening": "review", "number": "6", "review": "80"}),
        (
            "pull_request_review_comment",
            review_comment(),
            {"happening": "review", "number": "6", "comment": "7", "review": "80"},
        ),
    ],
)
def test_what_somebody_trusted_does_is_looked_at(event: str, payload: dict[str, Any], facts: dict[str, str]) -> None:
    where = {"repository": "acme/app", "default_branch": "main", "sender": "alice", "sender_id": "11"}
    assert look(event, payload).facts == where | facts


@pytest.mark.parametrize(
    ("event", "payload", "why"),
    [
        ("issue_comment", issue_comment("edited"), "Nothing is done"),
        ("issue_comment", issue_comment("deleted"), "Nothing is done"),
        ("issue_comment", issue_comment(body="Thanks, all!"), "does not speak to us"),
        ("issue_comment", issue_comment(user=BOT, sender=BOT), "A bot"),
        ("issue_comment", issue_comment(user=BOT), "A bot"),
        ("issue_comment", issue_comment(performed_via_github_app={"id": 5}), "may not start"),
        ("issue_comment", issue_comment(user=STRANGER, association="NONE"), "may not start"),
        ("issue_comment", issue_comment(user=STRANGER, association="CONTRIBUTOR"), "may not start"),
        ("issue_comment", issue_comment(user=STRANGER, association="FIRST_TIMER"), "may not start"),
        ("issues", labeled(sender=BOT), "A bot"),
        ("issues", delivery(action="opened", issue=issue()), "Nothing is done"),
        ("pull_request", pull_request(association="CONTRIBUTOR"), "may not start"),
        ("pull_request", pull_request(draft=True), "a draft"),
        ("pull_request", pull_request("synchronize"), "Nothing is done"),
        ("pull_request_review", review(state="approved", body=None), "asks for nothing"),
        ("pull_request_review", review("dismissed"), "Nothing is done"),
        ("pull_request_review_comment", review_comment(association="NONE"), "may not start"),
        ("push", delivery(ref="refs/heads/main"), "Nothing is done"),
    ],
)
def test_everything_else_goes_no_further(event: str, payload: dict[str, Any], why: str) -> None:
    seen = look(event, payload)
    assert seen.facts is None
    assert why in seen.why


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"{", b'{"sender": 5}', b"\xff\xfe"])
def test_what_is_no_delivery_is_none(body: bytes) -> None:
    assert read_payload(body) is None


def test_nothing_that_was_said_is_kept() -> None:
    assert "please fix" not in str(look("issue_comment", issue_comment()).facts)
