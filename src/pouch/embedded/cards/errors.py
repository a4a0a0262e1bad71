"""What the API refuses, in Stripe's words. These are raised before anything happened, so they are never remembered."""


class Refusal(Exception):
    """A request that was not carried out."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type_: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        parts = {"type": type_, "message": message, "code": code, "param": param}
        self.error: dict[str, object] = {name: value for name, value in parts.items() if value is not None}


def not_there(kind: str, row_id: str, *, param: str = "id") -> Refusal:
    """There is no object with this id."""
    return Refusal(f"No such {kind}: '{row_id}'", status=404, code="resource_missing", param=param)
