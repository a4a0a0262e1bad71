"""What is stored holds no secret of the run, in whatever form of JSON it was written."""

import json

from pouch.agents.redaction import HIDDEN, Redaction

SECRET = 'pä"ss\\word'


def test_a_secret_is_found_in_json_within_json_and_the_document_stays_one() -> None:
    said = [{"content": SECRET, SECRET: 1, "arguments": json.dumps({"command": f"echo {SECRET}"})}]
    clean = json.loads(Redaction([SECRET]).document(json.dumps(said).encode()))
    assert clean == [{"content": HIDDEN, HIDDEN: 1, "arguments": json.dumps({"command": f"echo {HIDDEN}"})}]


def test_what_is_no_json_is_read_as_text_and_keeps_its_bytes() -> None:
    raw = b"a \xff " + SECRET.encode() + b" [1, 2"
    assert Redaction([SECRET]).document(raw) == b"a \xff " + HIDDEN.encode() + b" [1, 2"
