"""The page in a real browser: what its script does, and that nothing sticks out. Skipped without chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from report.backtest.results import result, timeline
from spillway.report.backtest import html

CHROMIUM = shutil.which("chromium")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=3000",
)  # fmt: skip
PROBE = Path(__file__).with_name("probe.js")


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
@pytest.mark.parametrize("width", [500, 1100])
def test_the_page_works(tmp_path: Path, width: int) -> None:
    made = result(target=0.99, timelines={"spillway": timeline(), "keda-slo+cap@tuned": timeline()})
    page = tmp_path / "page.html"
    page.write_text(html(made).replace("</body>", f"<script>{PROBE.read_text()}</script></body>"))
    done = subprocess.run(
        [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, check=True, timeout=180,
    )  # fmt: skip
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert title is not None, done.stderr
    found: dict[str, Any] = json.loads(unescape(title.group(1)))
    assert (found["cheapest"], found["dearest"]) == ("hpa+queue", "api-only")
    assert found["held"] == 6
    assert (found["before"], found["time"]) == ("6:00 min", "7:00 min")
    assert "chat 5.00" in found["demand"]
    assert "80% band forecast 10 min before 4.00 to 6.00" in found["demand"]
    assert found["panels"] == 5
    assert found["themes"] == 2
    assert len(found["lit"]) == 1
    assert found["overflow"] == 0
