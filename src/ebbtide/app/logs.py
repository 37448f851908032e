"""Where log lines go and how they look, those of the libraries included."""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal

import structlog


def configure_logs(least: Literal["info", "error"] = "info") -> None:
    """Structured lines on standard error: JSON where nobody watches, plain on a terminal.

    Args:
        least: the level below which our own lines are left out.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    form: list[structlog.typing.Processor]
    if sys.stderr.isatty():
        # Plain traces: those of the renderer's own choice print every local, keys among them,
        # and take seconds to draw.
        form = [
            structlog.dev.ConsoleRenderer(
                colors=not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    else:
        form = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, *form],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        # Standard error as it is when a line is written: whoever runs commands within a process
        # of his own puts another one there for each.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # The server library and others speak through the standard library's logging: a line of
    # theirs must look like ours, or whoever reads the log as JSON stumbles over it.
    foreign = logging.StreamHandler(sys.stderr)
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *form],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[foreign])
    logging.captureWarnings(True)
