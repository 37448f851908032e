"""The path kind ``anything``: ids are any text, also with slashes and line breaks."""

from __future__ import annotations

from starlette.convertors import PathConvertor, register_url_convertor


class AnyText(PathConvertor):
    """The rest of a path, whatever is in it."""

    regex = "(?s:.*)"


def allow_any_text() -> None:
    """Let routes be written with ``{name:anything}``; repeating it does no harm."""
    register_url_convertor("anything", AnyText())
