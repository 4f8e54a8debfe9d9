"""Sections of a report: each turns plain data into blocks of words, plots, tables and pictures."""
