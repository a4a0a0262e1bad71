"""What cannot be billed as it stands. Programs meet these, not people: the gateway has an answer to each."""


class UnusableUsage(ValueError):
    """The upstream's usage cannot be true or cannot be read, so the call is billed by an estimate."""


class UnpricedUsage(ValueError):
    """A call used, or may use, something the model has no price for. It is refused or alarmed, never billed zero."""
