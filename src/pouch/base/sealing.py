"""Sealing secrets that the database keeps: AES-256-GCM under a key derived from the operator's secret."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pouch.base.secret_keys import SecretKeys

NONCE_BYTES = 12


class CannotOpen(Exception):
    """It was sealed under another secret key, for another place, or was changed."""


class Seal:
    """Seals and opens texts of one purpose. `place` is bound to each: moved to another row, it does not open."""

    def __init__(self, keys: SecretKeys, purpose: str) -> None:
        self._ciphers = [AESGCM(key) for key in keys.of_purpose(purpose)]

    def seal(self, text: str, place: str) -> bytes:
        """Encrypt with the current secret."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, text.encode(), place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """Decrypt with whichever of the secrets fits. Raises CannotOpen."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode()).decode()
            except InvalidTag:
                continue
        raise CannotOpen
