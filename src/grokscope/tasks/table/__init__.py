"""A user's own images: the task, reading its table, and what the pixels and group numbers say about the table."""

from grokscope.tasks.table.task import Table as Table
