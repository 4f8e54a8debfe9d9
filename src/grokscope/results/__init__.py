"""Typed, torch-free records of results: frozen dataclasses with their own reading and writing.

Whoever shows, compares or exports a result reads one of these classes, never raw JSON: a field that is renamed is then
an error of the type checker in every place that shows it, and a file that lacks a field is an error that names it.

A new record (of a check, of a test over seeds, of another dissection method):

1. A file of its own here, or the file of its subject, with a class ``@dataclass(frozen=True, kw_only=True)`` derived
   from `record.Record`; from `record.Stored`, with a field ``schema``, where it is a file by itself; from
   `record.Keyed` where it holds one kind of value under fixed names.
2. Beneath every field a docstring, which ends in the unit in brackets where the field is a number:
   ``[share]``, ``[logits]``, ``[probability]``, ``[examples]``, ``[as the value]``. tests/results checks that of every
   record of this folder.
3. Whoever measures it makes and writes it; whoever shows it takes the class in its own signature.

Null in a file is a number that is not finite; it is read as NaN, or as None where the field may be None. A field that
is renamed, added or removed raises ``SCHEMA`` of its file; a change of how something is measured or concluded raises
`dissection.RULES`, which shows older dissections as outdated with the command that redoes them.
"""

from grokscope.results.dissection import Dissection
from grokscope.results.record import Keyed, Record, Stored
from grokscope.results.settings import Settings

__all__ = ["Dissection", "Keyed", "Record", "Settings", "Stored"]
