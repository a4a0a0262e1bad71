"""Reading the settings at the start of a command."""

from pydantic import ValidationError

from pouch.settings import Settings, SettingsError


def read_settings() -> Settings:
    """What the environment and pouch.toml say, checked. Raises SettingsError with one line for each mistake."""
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [f"POUCH_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}." for each in error.errors()]
        raise SettingsError("\n".join(lines)) from error
    settings.check()
    _ = settings.file  # read now, so that a mistake in it ends the command before it does anything
    return settings
