"""The one cookie: its name and its attributes follow from the public address."""

from starlette.responses import Response

from pouch.settings import Settings


def cookie_name(settings: Settings) -> str:
    """`__Host-pouch` over https, so that no other host can set it; plain `pouch` over http, which is loopback only."""
    return "__Host-pouch" if settings.is_https else "pouch"


def set_cookie(response: Response, settings: Settings, secret: str, *, max_age_s: int) -> None:
    """Let the browser keep the secret of a session."""
    response.set_cookie(
        cookie_name(settings),
        secret,
        max_age=max_age_s,
        path="/",
        secure=settings.is_https,
        httponly=True,
        samesite="lax",
    )


def clear_cookie(response: Response, settings: Settings) -> None:
    """Let the browser forget the session."""
    response.delete_cookie(cookie_name(settings), path="/", secure=settings.is_https, httponly=True, samesite="lax")
