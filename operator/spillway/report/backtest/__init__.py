"""What came out of a backtest: a self-contained page, a table for a terminal, tables for documents.

All take the JSON of `spillway backtest -o json`. The page also shows, where the result has them: ``title``, ``facts``
(texts by label), ``version``, ``command``, ``target`` (share of requests that the SLO promises) and ``timelines``:
``{policy: {at_s, ready: {lane: []}, desired: {lane: []}, arrived_per_s: {class: []}, hosted_per_s: {class: []},
usd_per_hour: [], forecast: {class: {lead_s, q10: [], q50: [], q90: []}}}}``, each list as long as ``at_s``, and a
forecast's values at the time that they are for.
"""

from spillway.report.backtest.markdown import document, goals, losses, ratios
from spillway.report.backtest.page import html
from spillway.report.backtest.result import ResultError
from spillway.report.backtest.terminal import table
from spillway.report.backtest.timelines import downsample

__all__ = ["ResultError", "document", "downsample", "goals", "html", "losses", "ratios", "table"]
