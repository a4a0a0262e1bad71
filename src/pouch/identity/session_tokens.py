"""Session tokens: what the programs of a signed-in person show. JWTs, signed with Ed25519.

The claims are those that Roo's clients read, and no others: who, on behalf of which organization, from when until when.
The device that a token was made for stands in the header, which is signed, too. Nothing else is trusted: whether the
device is still signed in and the person still in the organization is asked of the database (`token_ring`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter

from pouch.base.clock import Clock, system_clock
from pouch.base.ids import read_id, show_id
from pouch.base.secret_keys import SecretKeys
from pouch.identity.types import DeviceId, OrganizationId, PersonId

PURPOSE = "session-tokens"
ISSUER = "rcc"
VERSION = 1
EARLY_S = 30
"""How far the clock of a program that looks at `nbf` may be behind."""
LENGTH_MAX = 1_000
_ALGORITHM = "Ed25519"
REGISTRY = JWSRegistry(
    header_registry={
        "kid": HeaderParameter("Which key", "str", required=True),
        "sid": HeaderParameter("Which device", "str", required=True),
    },
    algorithms=[_ALGORITHM],
)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `organization_id` is None for the person's own."""

    device_id: DeviceId
    person_id: PersonId
    organization_id: OrganizationId | None
    expires_at: int


class SessionTokens:
    """Makes tokens with the keys that are derived from the operator's secret; reads those of earlier secrets, too."""

    def __init__(self, secret_keys: SecretKeys, *, clock: Clock = system_clock) -> None:
        self._clock = clock
        keys = [_key(seed) for seed in secret_keys.of_purpose(PURPOSE)]
        self._signing = keys[0]
        self._keys = KeySet([*keys])

    def make(
        self, device_id: DeviceId, person_id: PersonId, organization_id: OrganizationId | None, *, lifetime_s: int
    ) -> str:
        """A token of a device, from now on for `lifetime_s` seconds; `organization_id` is None for the person's own."""
        now = int(self._clock().timestamp())
        who = show_id("usr", person_id)
        about: dict[str, object] = {"u": who}
        if organization_id is not None:
            about["o"] = show_id("org", organization_id)
        claims = {
            "iss": ISSUER,
            "sub": who,
            "exp": now + lifetime_s,
            "iat": now,
            "nbf": now - EARLY_S,
            "v": VERSION,
            "r": about | {"t": "auth"},
        }
        header = {"alg": _ALGORITHM, "typ": "JWT", "kid": self._signing.kid, "sid": show_id("dev", device_id)}
        return jwt.encode(header, claims, self._signing, registry=REGISTRY)

    def read(self, text: str) -> Claims | None:
        """What a token says. None for what was not signed here, has ended or has not begun."""
        if len(text) > LENGTH_MAX or not text.isascii() or text.count(".") != 2:
            return None
        try:
            token = jwt.decode(text, self._keys, registry=REGISTRY)
        except (JoseError, ValueError):
            return None
        return self._understand(token.header, token.claims)

    def _understand(self, header: Mapping[str, object], claims: Mapping[str, object]) -> Claims | None:
        now = int(self._clock().timestamp())
        expires_at, begins_at = claims.get("exp"), claims.get("nbf")
        if claims.get("iss") != ISSUER or claims.get("v") != VERSION:
            return None
        if not (isinstance(begins_at, int) and isinstance(expires_at, int) and begins_at <= now < expires_at):
            return None
        about = claims.get("r")
        if not isinstance(about, dict) or about.get("t") != "auth":
            return None
        device_id, person_id = read_id("dev", str(header.get("sid"))), read_id("usr", str(about.get("u")))
        organization_id = read_id("org", str(about["o"])) if "o" in about else None
        if device_id is None or person_id is None or ("o" in about and organization_id is None):
            return None
        return Claims(
            DeviceId(device_id),
            PersonId(person_id),
            OrganizationId(organization_id) if organization_id is not None else None,
            expires_at,
        )


def _key(seed: bytes) -> OKPKey:
    return OKPKey.derive_key(seed, "Ed25519", auto_kid=True, kdf_options={"salt": b"pouch", "info": PURPOSE.encode()})
