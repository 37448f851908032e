"""Ebbtide: a self-hosted behavioral truth engine for SaaS and LLM products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebbtide.client.emitter import Emitter

__all__ = ["Emitter", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The client is imported on first use, so that the server and the CLI start without it.
    if name == "Emitter":
        from ebbtide.client.emitter import Emitter

        return Emitter
    raise AttributeError(f"module 'ebbtide' has no attribute {name!r}")
