"""Progress of long work, reported to listeners; and reading of many records without garbage collection.

A loop over many runs goes through `watched`. Nobody hears of it, until somebody outside says `telling(...)`: the
command line does, and so may a notebook. So no function has to hand on what only a terminal wants to know.
"""

import gc
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Watch = Callable[[int, int], None]
"""Told how many of how many are done."""
Listener = Callable[[str], Watch]
"""What is being done -> who is told how far it is."""
Item = TypeVar("Item")

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def telling(listener: Listener) -> Iterator[None]:
    """Meanwhile `listener` hears of every loop that is `watched`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def watched(items: Collection[Item], doing: str) -> Iterator[Item]:
    """The items one by one; after each, whoever listens is told how many of how many are done."""
    listener = _listener.get()
    if listener is None:
        yield from items
        return
    watch = listener(doing)
    for done, item in enumerate(items, 1):
        yield item
        watch(done, len(items))


@contextmanager
def without_collector() -> Iterator[None]:
    """Meanwhile the collector of garbage rests. Of thousands of records that are read and kept it would look at every
    one again and again, and find nothing: a fifth of the time of a question about ten thousand runs."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def kept_from_collector() -> Iterator[None]:
    """Meanwhile the collector of garbage looks at nothing that is there now, only at what is made from here on: drawing
    makes garbage in circles, and each search for it would go through the records of thousands of runs."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
