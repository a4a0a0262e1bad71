"""The Jinja environment that all rooms draw with."""

from collections.abc import Sequence

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from pouch import __version__
from pouch.base.compiled import compiled_templates
from pouch.base.languages import gettext, language, ngettext
from pouch.settings import Settings
from pouch.web.assets import Assets
from pouch.web.filters import MINUS, aligned, dollars, exact, icon, stamp, when


def environment(settings: Settings, assets: Assets, folders: Sequence[tuple[str, str]]) -> Environment:
    """Templates are named "room/file.html"; each room's lie in its own `templates/room/`.

    `folders` are pairs of a package and its template folder, such as ("pouch.billing", "templates"). A name that is
    not defined is an error, not an empty text, and everything is escaped.
    """
    made = Environment(
        loader=ChoiceLoader(
            [PackageLoader(package, folder) for package, folder in [("pouch.web", "templates"), *folders]]
        ),
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=compiled_templates(),
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
    made.filters |= {"dollars": dollars, "exact": exact, "aligned": aligned, "when": when, "stamp": stamp}
    made.globals |= {
        "MINUS": MINUS,
        "icon": icon,
        "asset": assets.url,
        "site": settings.file.site,
        "site_url": settings.url,
        "sign_up_is_open": settings.file.accounts.sign_up != "closed",
        "version": __version__,
        "language": language,
    }
    made.globals["ui"] = made.get_template("web/macros.html").module
    return made
