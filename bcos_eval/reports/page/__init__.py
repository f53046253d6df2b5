"""The page: everything that is stored of some runs, in one file that works offline."""

from .page import page_html, write_page

__all__ = ["page_html", "write_page"]
