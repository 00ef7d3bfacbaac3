"""What a message is about: the trained head (parley_routing) as a hint for whoever owns the conversation. Pure."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from parley_proto.errors import SettingsError
from parley_proto.specialist import RouteHint
from parley_routing.head import Head

HEAD = "router_head.npz"
# What rag embeds with, whatever model its table is from.
MODEL = "all-MiniLM-L6-v2"


class Router:
    """Names a specialty for a message, or none when it belongs to nobody. A call takes a third of a millisecond."""

    def __init__(self, head: Head) -> None:
        self.about = head.about
        self._head = head

    @classmethod
    def load(cls, path: Path | None = None) -> Router:
        """The head that ships with the service, or the one at `path`.

        SettingsError where it is missing, damaged, or was trained on another embedding model.
        """
        shipped = Path(str(importlib.resources.files("parley_conversation"))) / HEAD
        try:
            head = Head.load(path or shipped)
        except SettingsError as error:
            raise SettingsError(f"PARLEY_CONVERSATION_ROUTER is wrong: {error.message}") from error
        if head.about.model != MODEL:
            raise SettingsError(
                f"PARLEY_CONVERSATION_ROUTER is wrong: {path} was trained on {head.about.model or 'an unknown model'} "
                f"and rag embeds with {MODEL}; train it anew with `parley route train`."
            )
        return cls(head)

    def route(self, vector: bytes, text: str = "") -> RouteHint:
        """The specialty of `text`, whose embedding is `vector` (little-endian float32).

        `specialty` is empty for what belongs to nobody (greetings, gibberish, small talk). With `ask_back` the second
        of `alternatives` may be meant as well. PermanentError for a vector of another size.
        """
        decision = self._head.decide(vector, text)
        if not decision.label:
            return RouteHint("", decision.confidence)
        return RouteHint(
            decision.label,
            decision.confidence,
            alternatives=[label for label, _ in decision.alternatives[:2]] if decision.ask_back else [],
            ask_back=decision.ask_back,
            evidence=decision.evidence,
        )
