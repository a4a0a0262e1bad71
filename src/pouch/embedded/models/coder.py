"""`pouch/coder`: a small coding session, one step per turn, with whatever tools the client offers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from pouch.embedded.models.answer import Answer, in_words, spoken
from pouch.embedded.models.example import example
from pouch.embedded.models.question import Question, Tool

_FILE = "hello.py"
_PROGRAM = 'print("Hello from Pouch")\n'
_PATHS = {"path": _FILE, "file_path": _FILE, "filePath": _FILE}
_TESTS = "python3 -m unittest"
_LOOK = f"git log --oneline -3; ls; {_TESTS} 2>&1 | tail -5"
_FINISH = "attempt_completion"
_UNKNOWN_TOOLS_MAX = 3

# They wait for a person, leave the session or start another.
_NOT_CALLED_UNASKED = frozenset({_FINISH, "ask_followup_question", "switch_mode", "new_task", "browser_action"})


@dataclass(frozen=True, slots=True)
class _Step:
    says: str
    tool_names: tuple[str, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)


_SESSION = (
    _Step("I look at the files first.", ("list_files", "list_directory", "list_dir", "ls"), {"path": "."}),
    _Step(
        "Now I write the program.",
        ("write_to_file", "write_file", "create_file", "write"),
        _PATHS | {"content": _PROGRAM, "line_count": 1},
    ),
    _Step("I read it again to be sure.", ("read_file", "view_file", "read"), _PATHS),
    _Step("I run it.", ("execute_command", "run_command", "bash", "shell"), {"command": f"python3 {_FILE}"}),
)
# Under the native engine of Cloud Agents bash is the only tool, and its description names the command that ends.
_NATIVE_TOOL, _NATIVE_END = "bash", "submit"
_NATIVE_SESSION = (
    _Step("I look at the repository and run its tests first.", values={"command": _LOOK}),
    _Step("Now I write the program.", values={"command": f"printf '%s\\n' '{_PROGRAM.strip()}' > {_FILE}"}),
    _Step("I run the tests again.", values={"command": f"python3 {_FILE} && {_TESTS}"}),
    _Step("I commit it.", values={"command": f"git add {_FILE} && git commit -q -m 'Print a greeting'"}),
    _Step(
        "The program is written and tested.",
        values={"command": f"{_NATIVE_END} '{_FILE} prints a greeting, and the tests pass. Nothing is left to do.'"},
    ),
)
_END = _Step(
    "The program is written and tested.",
    (_FINISH,),
    {"result": f"{_FILE} prints a greeting. It was written, read back and run."},
)


def next_step(question: Question) -> Answer:
    """The next turn of the session: as many tool results as there are, so many steps are done.

    Steps whose tools are not offered are left out. When none of them is, up to three of the others are called, with
    arguments made from their schemas. The last turn calls `attempt_completion`, or is text when that is not offered.
    Under the native engine it writes, tests and commits with bash, and ends with the command that it is told to.
    """
    offered = {tool.name: tool for tool in question.tools}
    steps = _session(question.tools)
    step, tool_name = steps[question.tool_results] if question.tool_results < len(steps) else (_END, _FINISH)
    tool = offered.get(tool_name)
    if tool is None:
        return Answer(spoken(step.says.split()))
    arguments = orjson.dumps(example(tool.parameters, step.values)).decode()
    return Answer(spoken(step.says.split()), tool.name, in_words(arguments))


def _session(tools: Sequence[Tool]) -> list[tuple[_Step, str]]:
    names = [tool.name for tool in tools]
    if names == [_NATIVE_TOOL] and f"{_NATIVE_END} '" in tools[0].description:
        return [(step, _NATIVE_TOOL) for step in _NATIVE_SESSION]
    known = [
        (step, name)
        for step in _SESSION
        if (name := next((n for n in step.tool_names if n in names), None)) is not None
    ]
    if known:
        return known
    others = [name for name in names if name not in _NOT_CALLED_UNASKED]
    return [(_Step(f"I use {name}."), name) for name in others[:_UNKNOWN_TOOLS_MAX]]
