"""Hosted prices pinned in documents, so that a replay rests on figures that anyone can see."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from spillway.api import API_VERSION, CapacityLane
from spillway.observe.prices import PriceBook
from spillway.simulate.sides.truths import PRICE_SOURCE

Document = dict[str, Any]


def pinned(documents: Sequence[Mapping[str, Any]], now: float) -> list[Document]:
    """Copies of the documents in which hosted lanes without a contract price have the list price at ``now``.

    ``now``: Unix seconds. An annotation on the lane tells where the price is from. Lanes that nobody prices, and
    documents that aren't valid, are left as they are: who reads them says so.
    """
    book = PriceBook()
    found = [copy.deepcopy(dict(document)) for document in documents]
    for document in found:
        if document.get("apiVersion") == API_VERSION and document.get("kind") == CapacityLane.KIND:
            _pin(document, book, now)
    return found


def _pin(document: Document, book: PriceBook, now: float) -> None:
    try:
        lane = CapacityLane.parse(document)
    except ValidationError:
        return
    if lane.spec.hosted is None or lane.spec.hosted.price is not None:
        return
    price = book.quote(lane, now).price
    if price is None:
        return
    document["spec"]["hosted"]["price"] = {
        "inputUsdPerMTok": f"{price.input_usd_per_mtok:f}",
        "cachedInputUsdPerMTok": f"{price.cached_input_usd_per_mtok:f}",
        "outputUsdPerMTok": f"{price.output_usd_per_mtok:f}",
    }
    annotations = document["metadata"].setdefault("annotations", {}) or {}
    document["metadata"]["annotations"] = {**annotations, PRICE_SOURCE: price.source}
