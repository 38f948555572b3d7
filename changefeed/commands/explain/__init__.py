"""`changefeed explain`: what became of one row's changes, for one owner: see `docs/design/explain.md`."""

from .explanation import Explanation, explanation_of

__all__ = ["Explanation", "explanation_of"]
