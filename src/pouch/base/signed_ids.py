"""Secrets that are not kept: the id of a row and its signature, in letters and digits that nothing on the way breaks.

Whoever has the operator's secret key can write and read them; a copy of the database opens nothing.
"""

import base64
import binascii
from uuid import UUID

from pouch.base.secret_keys import SecretKeys

LENGTH = 64
"""Characters: 16 bytes of id and 24 of signature, five bits in each."""
_SIGNATURE_BYTES = 24


class SignedIds:
    """Writes and reads the secrets of one purpose; those of another purpose mean nothing here."""

    def __init__(self, secret_keys: SecretKeys, purpose: str) -> None:
        self._secret_keys = secret_keys
        self._purpose = purpose

    def write(self, row_id: UUID) -> str:
        """The secret of a row. Put it into an answer, never into the database."""
        signature = self._secret_keys.sign(self._purpose, row_id.bytes)[:_SIGNATURE_BYTES]
        return base64.b32hexencode(row_id.bytes + signature).decode().lower()

    def read(self, text: str) -> UUID | None:
        """The id in a secret that we wrote, with this or an earlier secret key. None for any other text."""
        if len(text) != LENGTH or not text.isascii():
            return None
        try:
            both = base64.b32hexdecode(text.upper())
        except binascii.Error:
            return None
        row_id, signature = both[:16], both[16:]
        return UUID(bytes=row_id) if self._secret_keys.is_signed(self._purpose, row_id, signature) else None
