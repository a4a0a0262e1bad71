"""`pouch work`."""


def work() -> None:
    """Do the background work, and nothing else: mail, settlements, sweeps. Any number of such processes.

    For example:

      POUCH_DATABASE_URL=postgresql://pouch@db.example/pouch pouch work
    """
    from pouch.app import work as run
    from pouch.cli.reading import read_settings
    from pouch.up.leash import end_with_up

    settings = read_settings()
    if settings.under_up:
        end_with_up()
    run(settings)
