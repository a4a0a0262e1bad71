"""Session tokens: exactly the claims that Roo's clients read, signed, and nothing else is believed."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from pouch.base.ids import new_id, show_id
from pouch.base.secret_keys import SecretKeys
from pouch.identity.session_tokens import REGISTRY, Claims, SessionTokens
from pouch.identity.types import DeviceId, OrganizationId, PersonId

DEVICE, PERSON, HARBOR = DeviceId(new_id()), PersonId(new_id()), OrganizationId(new_id())
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SECRET, OLDER = "a secret of the operator's", "the secret before that one"


class Clock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


def part(token: str, index: int) -> dict[str, object]:
    text = token.split(".")[index]
    read: dict[str, object] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return read


def signed(claims: object, header: object, key: object = b"x" * 64) -> str:
    def write(document: object) -> str:
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return f"{write(header)}.{write(claims)}.{write(key)}"


def test_a_token_says_who_for_whom_and_until_when_and_nothing_more() -> None:
    tokens = SessionTokens(SecretKeys(SECRET), clock=Clock())
    noon = int(NOON.timestamp())
    who = show_id("usr", PERSON)
    common = {"iss": "rcc", "sub": who, "exp": noon + 120, "iat": noon, "nbf": noon - 30, "v": 1}
    own, shared = (tokens.make(DEVICE, PERSON, each, lifetime_s=120) for each in (None, HARBOR))
    assert part(own, 1) == {**common, "r": {"u": who, "t": "auth"}}
    assert part(shared, 1) == {**common, "r": {"u": who, "o": show_id("org", HARBOR), "t": "auth"}}
    assert part(own, 0).keys() == {"alg", "typ", "kid", "sid"}
    assert part(own, 0)["alg"] == "Ed25519"
    assert tokens.read(own) == Claims(DEVICE, PERSON, None, noon + 120)
    assert tokens.read(shared) == Claims(DEVICE, PERSON, HARBOR, noon + 120)


def test_it_opens_nothing_before_its_time_and_after_it() -> None:
    clock = Clock()
    tokens = SessionTokens(SecretKeys(SECRET), clock=clock)
    token = tokens.make(DEVICE, PERSON, None, lifetime_s=120)
    for seconds, opens in ((119, True), (120, False), (-30, True), (-31, False)):
        clock.now = NOON + timedelta(seconds=seconds)
        assert (tokens.read(token) is not None) is opens, seconds


def test_the_secret_key_can_be_replaced_while_tokens_are_out() -> None:
    earlier = SessionTokens(SecretKeys(OLDER), clock=Clock()).make(DEVICE, PERSON, None, lifetime_s=120)
    assert SessionTokens(SecretKeys(SECRET, [OLDER]), clock=Clock()).read(earlier) is not None
    assert SessionTokens(SecretKeys(SECRET), clock=Clock()).read(earlier) is None


def test_whoever_cannot_sign_cannot_make_one() -> None:
    """Unsigned, signed with a key of one's own, with the public key as a shared secret, or altered afterwards."""
    tokens = SessionTokens(SecretKeys(SECRET))
    good = tokens.make(DEVICE, PERSON, None, lifetime_s=120)
    header, claims = part(good, 0), part(good, 1)
    head, body, signature = good.split(".")
    own = OKPKey.generate_key("Ed25519")
    public = OctKey.import_key(base64.urlsafe_b64decode("A" * 43 + "="))
    other = show_id("usr", new_id())
    forged = [
        signed(claims, {**header, "alg": "none"}, b""),
        signed(claims, header),
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{signed({**claims, 'sub': other, 'r': {'u': other, 't': 'auth'}}, header).split('.')[1]}.{signature}",
        jwt.encode({"alg": "HS256", "kid": str(header["kid"])}, claims, public),
        jwt.encode({"alg": "Ed25519"}, claims, own, algorithms=["Ed25519"]),
        jwt.encode({"alg": "Ed25519", "kid": "../../etc/passwd"}, claims, own, algorithms=["Ed25519"]),
        good[:-4] + "AAAA",
        good + "x",
        "x" * 2000 + "." + body + "." + signature,
        "..",
        "a.b.c",
        "\udcff.b.c",
        "",
    ]
    for each in forged:
        assert tokens.read(each) is None, each
    assert tokens.read(good) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "someone"},
        {"v": 2},
        {"exp": "soon"},
        {"nbf": None},
        {"r": "auth"},
        {"r": {"u": show_id("usr", PERSON), "t": "cj"}},
        {"r": {"u": "usr_x", "t": "auth"}},
        {"r": {"u": show_id("usr", PERSON), "o": "org_x", "t": "auth"}},
        {"r": {"u": show_id("usr", PERSON), "o": None, "t": "auth"}},
    ],
    ids=range(9),
)
def test_what_we_signed_for_something_else_is_no_session(change: dict[str, object]) -> None:
    tokens = SessionTokens(SecretKeys(SECRET))
    good = tokens.make(DEVICE, PERSON, None, lifetime_s=120)
    claims = {**part(good, 1), **change}
    signing = tokens._signing  # noqa: SLF001 -- there is no other way to sign what it would never say
    altered = jwt.encode(
        {"alg": "Ed25519", "kid": str(signing.kid), "sid": show_id("dev", DEVICE)},
        claims,
        signing,
        registry=REGISTRY,
    )
    assert tokens.read(altered) is None


def test_a_token_fits_into_a_header_and_is_made_quickly() -> None:
    tokens = SessionTokens(SecretKeys(SECRET))
    begin = time.perf_counter()
    made = [tokens.make(DEVICE, PERSON, HARBOR, lifetime_s=120) for _ in range(50)]
    assert time.perf_counter() - begin < 1
    assert max(map(len, made)) < 600
