"""Who may call, for a gateway in a test: API keys and session tokens, as in `serve`."""

from pouch.base.database import Database
from pouch.base.secret_keys import SecretKeys
from pouch.identity.callers import Callers
from pouch.identity.keyring import KeyRing
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.token_ring import TokenRing

SECRET_KEYS = SecretKeys("the secret key of the tests")
TOKENS = SessionTokens(SECRET_KEYS)
"""Makes and reads the session tokens that these callers may show."""


def callers(database: Database) -> Callers:
    return Callers(KeyRing(database), TokenRing(database, TOKENS))
