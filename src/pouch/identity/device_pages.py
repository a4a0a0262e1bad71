"""/settings/devices/{device}: the spending limit of a signed-in program, and its end."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.errors import NotFound, PouchError
from pouch.base.ids import read_id, show_id
from pouch.base.languages import say
from pouch.identity.device_limits import find_device, limit_device
from pouch.identity.devices import revoke_device
from pouch.identity.forms import Forms, go
from pouch.identity.keys import PERIOD_WORDS
from pouch.identity.limit_forms import read_limit, read_period
from pouch.identity.means import Means
from pouch.identity.types import DeviceId, PersonId
from pouch.web.forms import read_form
from pouch.web.pages import Web


class DevicePages:
    """What a person does with one of their programs. Those of others are not there."""

    def __init__(self, web: Web, means: Means) -> None:
        self._web = web
        self._database = means.database
        self._forms = Forms(web)
        self._ended = means.programs_ended

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/settings/devices/{device}/limit", self.show_limit, methods=["GET"]),
            Route("/settings/devices/{device}/limit", self.limit, methods=["POST"]),
            Route("/settings/devices/{device}/end", self.end, methods=["POST"]),
        ]

    async def show_limit(self, request: Request) -> Response:
        """The form for the limit."""
        return await self._draw(request)

    async def limit(self, request: Request) -> Response:
        """Set it, or lift it."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        try:
            cap, period = read_limit(form.get("limit", "")), read_period(form.get("period", "ever"))
            async with self._database.transaction() as db:
                await limit_device(db, PersonId(viewer.person_id), _device_id(request), cap, period)
        except NotFound:
            raise
        except PouchError as error:
            return await self._draw(request, form, error)
        return go("/settings?done=limit#h-devices")

    async def end(self, request: Request) -> Response:
        """Sign a program out: its tokens open nothing from now on."""
        viewer = await self._web.signed_in(request)
        device_id = _device_id(request)
        async with self._database.transaction() as db:
            await revoke_device(db, PersonId(viewer.person_id), device_id)
        self._ended(PersonId(viewer.person_id))
        return go("/settings?done=device#h-devices")

    async def _draw(
        self, request: Request, form: Mapping[str, str] | None = None, error: PouchError | None = None
    ) -> Response:
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            device = await find_device(db, PersonId(viewer.person_id), _device_id(request))
        if form is None:
            has = device.limit
            form = {"limit": has.cap.decimal() if has else "", "period": has.period if has else "ever"}
        return await self._forms.draw(
            request,
            "identity/device_limit.html",
            form,
            error,
            device=device,
            typed={name: form.get(name, "") for name in ("limit", "period")},
            period_words=PERIOD_WORDS,
            show_id=show_id,
        )


def _device_id(request: Request) -> DeviceId:
    device_id = read_id("dev", request.path_params["device"])
    if device_id is None:
        raise NotFound(say("There is no such program."))
    return DeviceId(device_id)
