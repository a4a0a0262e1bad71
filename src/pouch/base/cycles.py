"""How often the garbage collector looks for cycles."""

import gc

OBJECTS = 20_000


def look_seldom() -> None:
    """Look once that many objects were made, not after 700, for the whole process.

    A call makes many objects and hardly a cycle: at 700 the collector looks through the same ones at nearly every
    call, which is 9 of 150 µs. While modules are imported it finds nothing either, and takes an eighth of that time.
    """
    gc.set_threshold(OBJECTS, 20, 20)
