"""The operator's secret, from which every signing and encryption key is derived; it can be replaced while in use."""

import hmac
import os
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Self

LENGTH_MIN = 16
"""Characters. Fewer could be guessed from one signature."""


class SecretKeys:
    """The secret that signs from now on, and earlier ones whose signatures still hold.

    Nothing uses a secret itself: each purpose has its own keys, so what is signed for one means nothing to another.
    """

    def __init__(self, current: str, previous: Sequence[str] = ()) -> None:
        roots = (current, *previous)
        if any(len(root) < LENGTH_MIN for root in roots):
            raise ValueError(f"a secret key has at least {LENGTH_MIN} characters")
        self._roots = tuple(root.encode() for root in roots)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Read a file with one secret a line, the current one first. A file that is not there is made, for its owner.

        Safe in several processes at once: all of them read the one that was first. Raises OSError and ValueError.
        """
        if not path.exists():
            _make(path)
        current, *previous = path.read_text(encoding="utf-8").split() or [""]
        return cls(current, previous)

    def of_purpose(self, purpose: str) -> tuple[bytes, ...]:
        """The keys of one purpose, 32 bytes each: sign with the first, accept all."""
        return tuple(_mac(root, b"pouch:" + purpose.encode()) for root in self._roots)

    def sign(self, purpose: str, message: bytes) -> bytes:
        """The signature of a message, 32 bytes, by the current secret."""
        return _mac(self.of_purpose(purpose)[0], message)

    def is_signed(self, purpose: str, message: bytes, signature: bytes) -> bool:
        """Whether a signature, or its beginning, was made for this purpose and message by any of the secrets.

        How much of it is asked for is the caller's to check; it takes equally long whatever is wrong.
        """
        answers = [
            hmac.compare_digest(_mac(key, message)[: len(signature)], signature) for key in self.of_purpose(purpose)
        ]
        return any(answers)


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, sha256)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename this never replaces the one that another process made meanwhile.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
