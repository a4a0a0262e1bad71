"""The templates of all rooms' letters: what the postman sends, and what the operator may look at beforehand."""

from pouch.mail.templates import Templates
from pouch.settings import Settings

ROOMS = ("pouch.payments", "pouch.billing", "pouch.topups", "pouch.identity", "pouch.agents")
"""The rooms that write letters."""


def letter_templates(settings: Settings) -> Templates:
    """In the operator's language, with the site's name and addresses."""
    return Templates(
        [(room, "templates") for room in ROOMS],
        site_name=settings.file.site.name,
        site_url=settings.url,
        support_email=settings.file.site.support_email,
        language=settings.file.site.language,
    )
