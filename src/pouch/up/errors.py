"""Why `up` ends by itself."""


class RoleRefused(Exception):
    """A role cannot use its settings; it has said why."""
