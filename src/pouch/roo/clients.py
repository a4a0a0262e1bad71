"""Set-up for programs that speak chat completions: what the page prints, a test runs as it stands.

POUCH_KEY is the name under which each of them reads the key. Facts from the programs' own documentation, November 2026.
"""

from dataclasses import dataclass, replace
from typing import Literal

Language = Literal["shell", "python", "node", "yaml", "json"]


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text to copy. `place` says where it goes, when that is not a terminal or a program of one's own."""

    id: str
    name: str
    language: Language
    text: str
    place: str = ""
    install: str = ""
    """The command that installs what it needs."""
    key_place: str = ""
    """The file that it reads the key from, when that is not the environment; as a line POUCH_KEY=…"""


@dataclass(frozen=True, slots=True)
class Form:
    """An editor in whose settings the address, key and model are typed."""

    name: str
    provider: str


FORMS = (Form("Cline", "OpenAI Compatible"), Form("Kilo Code", "OpenAI Compatible"))
"""Both ask for a base address, a key and a model."""


def snippets_for(site_url: str, model_id: str) -> list[Snippet]:
    """Every snippet, with this Pouch's address and one of its models."""
    return [replace(snippet, text=_filled(snippet.text, site_url, model_id)) for snippet in _SNIPPETS]


def _filled(text: str, site_url: str, model_id: str) -> str:
    return text.replace("<base>", f"{site_url}/v1").replace("<model>", model_id)


_CURL = """\
curl <base>/chat/completions \\
  -H "Authorization: Bearer $POUCH_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "<model>", "messages": [{"role": "user", "content": "Hello"}]}'"""

_OPENAI_PYTHON = """\
import os

from openai import OpenAI

client = OpenAI(base_url="<base>", api_key=os.environ["POUCH_KEY"])
answer = client.chat.completions.create(
    model="<model>",
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)"""

_OPENAI_NODE = """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "<base>", apiKey: process.env.POUCH_KEY });
const answer = await client.chat.completions.create({
  model: "<model>",
  messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.choices[0].message.content);"""

_AIDER = """\
export OPENAI_API_BASE=<base>
export OPENAI_API_KEY=$POUCH_KEY
aider --model openai/<model>"""

_CONTINUE = """\
name: Pouch
version: 0.0.1
schema: v1
models:
  - name: <model>
    provider: openai
    model: <model>
    apiBase: <base>
    apiKey: ${{ secrets.POUCH_KEY }}"""

_OPENCODE = """\
{
  "$schema": "https://opencode.ai/config.json",
  "provider": {
    "pouch": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "Pouch",
      "options": { "baseURL": "<base>", "apiKey": "{env:POUCH_KEY}" },
      "models": { "<model>": { "name": "<model>" } }
    }
  },
  "model": "pouch/<model>"
}"""

_LANGCHAIN = """\
import os

from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="<model>", base_url="<base>", api_key=os.environ["POUCH_KEY"])
print(model.invoke("Hello").content)"""

_LITELLM = """\
import os

from litellm import completion

answer = completion(
    model="openai/<model>",
    api_base="<base>",
    api_key=os.environ["POUCH_KEY"],
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)"""

_VERCEL = """\
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";

const pouch = createOpenAICompatible({
  name: "pouch",
  baseURL: "<base>",
  apiKey: process.env.POUCH_KEY,
  includeUsage: true,
});
const { text } = await generateText({ model: pouch("<model>"), prompt: "Hello" });
console.log(text);"""

_SNIPPETS = (
    Snippet("curl", "curl", "shell", _CURL),
    Snippet("openai-python", "OpenAI, Python", "python", _OPENAI_PYTHON, install="pip install openai"),
    Snippet("openai-node", "OpenAI, Node", "node", _OPENAI_NODE, install="npm install openai"),
    Snippet("aider", "aider", "shell", _AIDER),
    # It fills in what is in its own .env, and does not look into the environment.
    Snippet("continue", "Continue", "yaml", _CONTINUE, place="~/.continue/config.yaml", key_place="~/.continue/.env"),
    Snippet("opencode", "opencode", "json", _OPENCODE, place="opencode.json"),
    Snippet("langchain", "LangChain", "python", _LANGCHAIN, install="pip install langchain-openai"),
    Snippet("litellm", "LiteLLM", "python", _LITELLM, install="pip install litellm"),
    Snippet("vercel", "Vercel AI SDK", "node", _VERCEL, install="npm install ai @ai-sdk/openai-compatible"),
)
