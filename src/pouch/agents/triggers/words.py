"""What happenings and places outside are called on pages."""

from collections.abc import Mapping

from pouch.agents.triggers.types import Happening, Source
from pouch.base.languages import later

SOURCE_WORDS: Mapping[Source, str] = {"github": "GitHub", "slack": "Slack", "linear": "Linear"}
HAPPENING_WORDS: Mapping[Happening, str] = {
    "issue_mention": later("a comment on an issue speaks to it"),
    "pull_mention": later("a comment on a pull request speaks to it"),
    "review": later("a pull request of an agent is reviewed"),
    "label": later("an issue is given a label"),
    "pull_opened": later("a pull request is opened"),
    "message": later("a message speaks to it"),
}
