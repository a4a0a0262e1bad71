"""Shapes of answers, as the contract states them: which fields must be there, which may, and what is in them."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Shape: TypeAlias = "type | tuple[object, ...] | Mapping[str, object] | list[object] | object"
"""A type, a tuple of shapes any of which will do, a list with the shape of its items, an object, or a value itself.

In an object "name?" may be left out; what is not named may be there and is not looked at, as the client does it.
"""
NUMBER = (int, float)
IMAGE = str
"""Never null: the client's schema takes a text or nothing."""
ME: Shape = {
    "response": {
        "id?": str,
        "first_name?": (str, None),
        "last_name?": (str, None),
        "image_url?": IMAGE,
        "primary_email_address_id?": str,
        "email_addresses?": [{"id": str, "email_address": str}],
        "public_metadata?": dict,
    }
}
MEMBERSHIPS: Shape = {
    "response": [
        {
            "id": str,
            "role": str,
            "permissions?": [str],
            "created_at?": NUMBER,
            "updated_at?": NUMBER,
            "organization": {
                "id": str,
                "name": str,
                "slug?": str,
                "image_url?": IMAGE,
                "has_image?": bool,
                "created_at?": NUMBER,
                "updated_at?": NUMBER,
            },
        }
    ]
}
SIGN_IN: Shape = {"response": {"created_session_id": str}}
TOKEN: Shape = {"jwt": str}
BALANCE: Shape = {"balance": NUMBER}
ORGANIZATION: Shape = {
    "version": NUMBER,
    "defaultSettings": dict,
    "allowList": {"allowAll": bool, "providers": dict},
    "cloudSettings?": {
        "recordTaskMessages?": bool,
        "enableTaskSharing?": bool,
        "allowPublicTaskSharing?": bool,
        "taskShareExpirationDays?": int,
        "allowMembersViewAllTasks?": bool,
        "workspaceTaskVisibility?": ("all", "list-only", "admins-and-creator", "creator", "full-lockdown"),
        "llmEnhancedFeaturesEnabled?": bool,
    },
    "features?": dict,
    "hiddenMcps?": [str],
    "hideMarketplaceMcps?": bool,
    "mcps?": list,
    "providerProfiles?": dict,
}
USER: Shape = {
    "features": dict,
    "settings": {"taskSyncEnabled?": bool, "llmEnhancedFeaturesEnabled?": bool},
    "version": NUMBER,
}
SETTINGS: Shape = {"organization": ORGANIZATION, "user": USER}
SHARE: Shape = {"success": bool, "shareUrl?": str, "error?": str, "isNewShare?": bool, "manageUrl?": str}
BRIDGE: Shape = {"userId": str, "socketBridgeUrl": str, "token": str}
AGENTS: Shape = {"success": bool, "data": [{"id": str, "name": str, "type": str, "icon?": str}]}
USER_OF_CLI: Shape = {
    "id": str,
    "name": str,
    "email": str,
    "imageUrl": (str, None),
    "entity": {
        "id": str,
        "username": (str, None),
        "image_url": str,
        "last_name": str,
        "first_name": str,
        "email_addresses": [{"email_address": str}],
        "public_metadata": dict,
    },
    "publicMetadata": dict,
    "stripeCustomerId": (str, None),
    "lastSyncAt": str,
    "deletedAt": (str, None),
    "createdAt": str,
    "updatedAt": str,
}
AUTH_ME: Shape = [{"result": {"data": {"json": {"type": "user", "user": USER_OF_CLI}}}}]
TRPC_ERROR: Shape = [
    {"error": {"json": {"message": str, "code": int, "data": {"code": str, "httpStatus": int, "path": str}}}}
]
CLERK_ERROR: Shape = {"error": {"message": str, "type": str, "code": str}}
PROBLEM: Shape = {"title": str, "status": int, "detail": str, "code": str}
MODELS: Shape = {
    "object": "list",
    "data": [
        {
            "id": str,
            "object": "model",
            "created": NUMBER,
            "owned_by": str,
            "name": str,
            "description": str,
            "context_window": NUMBER,
            "max_tokens": NUMBER,
            "type": "language",
            "pricing": {"input": str, "output": str, "input_cache_read?": str, "input_cache_write?": str},
            "tags?": [str],
            "deprecated?": bool,
            "default_temperature?": NUMBER,
            "settings?": dict,
            "versionedSettings?": dict,
        }
    ],
}


def faults(document: object, shape: Shape, at: str = "") -> list[str]:
    """Where a document is not of its shape."""
    match shape:
        case type():
            fits = isinstance(document, shape) and not (isinstance(document, bool) and shape is not bool)
            return [] if fits else [f"{at or '.'}: {document!r} is no {shape.__name__}"]
        case tuple():
            return (
                [] if any(not faults(document, each) for each in shape) else [f"{at}: {document!r} is none of {shape}"]
            )
        case [item]:
            if not isinstance(document, Sequence) or isinstance(document, str):
                return [f"{at or '.'}: {document!r} is no list"]
            return [fault for n, each in enumerate(document) for fault in faults(each, item, f"{at}[{n}]")]
        case Mapping():
            return _object(document, shape, at)
        case _:
            return [] if document == shape else [f"{at}: {document!r} is not {shape!r}"]


def _object(document: object, shape: Mapping[str, object], at: str) -> list[str]:
    if not isinstance(document, Mapping):
        return [f"{at or '.'}: {document!r} is no object"]
    found = []
    for name, inside in shape.items():
        bare = name.removesuffix("?")
        if bare in document:
            found += faults(document[bare], inside, f"{at}.{bare}")
        elif bare == name:
            found.append(f"{at}.{bare}: missing")
    return found
