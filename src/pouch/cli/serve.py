"""`pouch serve`."""


def serve() -> None:
    """Serve pages and API, and nothing else: one of any number of such processes on one database.

    For example:

      POUCH_DATABASE_URL=postgresql://pouch@db.example/pouch pouch serve
    """
    from pouch.app import serve as run
    from pouch.cli.reading import read_settings
    from pouch.up.leash import end_with_up

    settings = read_settings()
    if settings.under_up:
        end_with_up()
    run(settings)
