"""Which models the catalogue shows, in which order. The address holds the wish, so a view can be sent to somebody."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlencode

from pouch.catalog.types import Model

Sort = Literal["name", "price", "price-desc", "context", "context-desc"]
Show = Literal["all", "free", "paid"]
SORTS: tuple[Sort, ...] = get_args(Sort)
SHOWS: tuple[Show, ...] = get_args(Show)

MODELS_PER_PAGE = 40
"""Keeps the page of a large catalogue under 60 kB."""
WORDS_LENGTH_MAX = 100
_PAGE_DIGITS_MAX = 4


@dataclass(frozen=True, slots=True)
class Wish:
    """What to look for. Anything that cannot be read is the default."""

    words: str = ""
    sort: Sort = "name"
    show: Show = "all"
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Wish":
        """Read the query of an address."""
        sort: Sort = next((sort for sort in SORTS if sort == query.get("sort")), "name")
        show: Show = next((show for show in SHOWS if show == query.get("show")), "all")
        page = query.get("page", "")
        number = int(page) if page.isascii() and page.isdigit() and len(page) <= _PAGE_DIGITS_MAX else 1
        return cls(" ".join(query.get("q", "").split())[:WORDS_LENGTH_MAX], sort, show, max(1, number))

    @property
    def is_filter(self) -> bool:
        """Whether some models may be left out."""
        return bool(self.words) or self.show != "all"

    def query(self, page: int) -> str:
        """The query of an address that shows another page of the same."""
        given = {"q": self.words, "sort": self.sort, "show": self.show, "page": str(page)}
        default = {"q": "", "sort": "name", "show": "all", "page": "1"}
        return urlencode({name: value for name, value in given.items() if value != default[name]})


@dataclass(frozen=True, slots=True)
class Found:
    """One page of what a wish brings: `matching` of `total` models over all pages."""

    models: Sequence[Model]
    matching: int
    total: int
    page: int
    pages: int


def choose(models: Sequence[Model], wish: Wish) -> Found:
    """The models that match every word, sorted, cut into pages. A page beyond the last one is the last one."""
    matching = sorted((model for model in models if _matches(model, wish)), key=_orders[wish.sort])
    pages = max(1, -(-len(matching) // MODELS_PER_PAGE))
    page = min(wish.page, pages)
    first = (page - 1) * MODELS_PER_PAGE
    return Found(matching[first : first + MODELS_PER_PAGE], len(matching), len(models), page, pages)


def _matches(model: Model, wish: Wish) -> bool:
    if wish.show != "all" and model.is_free != (wish.show == "free"):
        return False
    text = f"{model.name}\n{model.owned_by}\n{model.description}\n{model.id}".casefold()
    return _has_all(text, wish.words.casefold().split())


def _has_all(text: str, words: Iterable[str]) -> bool:
    return all(word in text for word in words)


def _price(model: Model) -> int:
    """Input and output together, which is what people compare; a free model is the cheapest."""
    return 0 if model.price is None else model.price.nanos_per_mtok["input"] + model.price.nanos_per_mtok["output"]


def _name(model: Model) -> tuple[str, str]:
    return model.name.casefold(), model.id


_orders: dict[Sort, Callable[[Model], tuple[int | str, ...]]] = {
    "name": _name,
    "price": lambda model: (_price(model), *_name(model)),
    "price-desc": lambda model: (-_price(model), *_name(model)),
    "context": lambda model: (model.context_window, *_name(model)),
    "context-desc": lambda model: (-model.context_window, *_name(model)),
}
