"""The shipped profiles are those of the measurements, and the formula's band holds what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from advise.sizing.builders import gpu
from advise.sizing.fitted import FILE, ratios, text
from spillway.advise.sizing.prior import STEP_BAND


def test_the_shipped_file_is_what_the_fit_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == text()


@pytest.mark.parametrize(("vendor", "band"), [("NVIDIA", STEP_BAND), ("MI", gpu("MI300X").step_band)])
def test_the_band_holds_the_measured_points(vendor: str, band: tuple[float, float]) -> None:
    found = np.array(ratios(vendor))
    assert len(found) > 20
    inside = (found >= float(band[0])) & (found <= float(band[1]))
    assert inside.mean() > 0.8
    # And not by being endless.
    assert float(band[1]) / float(band[0]) < 2.5
