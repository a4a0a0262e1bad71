"""Programs that run inside of a sandbox, with nothing but Python's standard library.

The folder is mounted there below /opt/pouch, so that they import each other by the names they have here.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
PACKAGES = "/opt/pouch"
TARGET = f"{PACKAGES}/pouch/agents/inside"
