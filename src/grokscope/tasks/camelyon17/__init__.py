"""Camelyon17-WILDS: the task, its folder on disk, checking such a folder, and downloading it."""

from grokscope.tasks.camelyon17.task import Camelyon17 as Camelyon17
