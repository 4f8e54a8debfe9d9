"""The page that this folder's tests read."""

from report.pages import page

__all__ = ["page"]
