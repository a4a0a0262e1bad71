"""GET /api/extension-settings and PATCH /api/user-settings: what an editor is to do, in its own shape."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Database
from pouch.base.errors import InvalidInput
from pouch.identity.token_ring import TokenRing
from pouch.roo.bearer import CLOUD_API, holder
from pouch.roo.bodies import flag, read_json
from pouch.roo.cloud_api import answer
from pouch.roo.settings import (
    OrganizationSettings,
    PersonSettings,
    change_person_settings,
    organization_settings,
    person_settings,
)


class SettingsApi:
    """Both endpoints."""

    def __init__(self, database: Database, ring: TokenRing) -> None:
        self._database = database
        self._ring = ring

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/extension-settings", self.show, methods=["GET"]),
            Route("/api/user-settings", self.change, methods=["PATCH"]),
        ]

    async def show(self, request: Request) -> Response:
        """What the organization and the person want."""
        who = await holder(request, self._ring, CLOUD_API)
        async with self._database.transaction() as db:
            organization = await organization_settings(db, who.organization_id, is_personal=who.is_personal)
            person = await person_settings(db, who.person_id)
        return answer(
            {
                "organization": shown_organization(organization, person if who.is_personal else None),
                "user": shown_person(person),
            }
        )

    async def change(self, request: Request) -> Response:
        """Change what a person may change in the editor. Other versions of it have more keys: they are left alone."""
        who = await holder(request, self._ring, CLOUD_API)
        body = await read_json(request)
        settings, version = body.get("settings"), body.get("version")
        if not isinstance(settings, dict):
            raise InvalidInput("settings must be an object.", field="settings")
        if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
            raise InvalidInput("version must be a whole number.", field="version")
        for known in ("extensionBridgeEnabled", "roomoteControlEnabled"):
            flag(settings, known)
        async with self._database.transaction() as db:
            changed = await change_person_settings(
                db,
                who.person_id,
                version=version,
                keeps_tasks=flag(settings, "taskSyncEnabled"),
                llm_features=flag(settings, "llmEnhancedFeaturesEnabled"),
            )
        return answer(shown_person(changed))


def shown_person(settings: PersonSettings) -> dict[str, object]:
    """A person's settings as editors read them."""
    # Editors before 3.50 ask for a bridge unless they are told not to; there is none.
    shown: dict[str, object] = {"taskSyncEnabled": settings.keeps_tasks, "extensionBridgeEnabled": False}
    if settings.llm_features is not None:
        shown["llmEnhancedFeaturesEnabled"] = settings.llm_features
    return {"features": {}, "settings": shown, "version": settings.version}


def shown_organization(settings: OrganizationSettings, owner: PersonSettings | None) -> dict[str, object]:
    """An organization's settings as editors read them. `owner` is given for a person's own."""
    return {
        "version": settings.version,
        "defaultSettings": {},
        "allowList": {
            "allowAll": settings.allows_all,
            "providers": {
                name: {"allowAll": False, "models": list(models)} if models else {"allowAll": True}
                for name, models in settings.allowed.items()
            },
        },
        "cloudSettings": {
            "recordTaskMessages": owner.keeps_tasks if owner else settings.records_tasks,
            "enableTaskSharing": settings.shares_tasks,
            "allowPublicTaskSharing": settings.shares_publicly,
            "taskShareExpirationDays": settings.share_days,
            "allowMembersViewAllTasks": settings.members_see_tasks,
            "workspaceTaskVisibility": "all" if settings.members_see_tasks else "creator",
        },
        "features": {},
        "hiddenMcps": list(settings.hidden_mcps),
        "hideMarketplaceMcps": settings.hides_marketplace,
    }
