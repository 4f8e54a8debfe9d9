"""Synthetic hospitals: the task, how its tissue and stains are drawn, and writing them as files."""

from grokscope.tasks.hospitals.task import Hospitals as Hospitals
