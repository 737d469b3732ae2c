"""The table of the Earth's orientation against astropy's own reading of its files."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.utils import iers

from gpucube.observations import earth
from gpucube.observations.earth import bundled_earth_orientation, earth_table


def by_astropy() -> list[np.ndarray]:
    with bundled_earth_orientation():
        table = iers.earth_orientation_table.get()
    units = {"MJD": u.d, "UT1_UTC": u.s, "PM_x": u.rad, "PM_y": u.rad}
    return [np.asarray(table[name].to_value(unit)) for name, unit in units.items()]


def test_table_is_that_of_astropy(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = by_astropy()
    earth_table.cache_clear()
    monkeypatch.setattr(iers.earth_orientation_table, "get", None)
    for ours, theirs in zip(earth_table(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("content", [b"another format\n", b"x" * 188, None])
def test_other_formats_are_left_to_astropy(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "finals").write_bytes(content)
    monkeypatch.setattr(earth.iers, "IERS_A_FILE", str(tmp_path / "finals"))
    earth_table.cache_clear()
    for ours, theirs in zip(earth_table(), by_astropy(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-15)
    earth_table.cache_clear()


def test_values_of_bulletin_b_come_from_either_file() -> None:
    """Of days that its own file does not have, bulletin A repeats them."""
    bulletin_a, bulletin_b = (Path(name).read_bytes() for name in (iers.IERS_A_FILE, iers.IERS_B_FILE))
    lines = bulletin_b.splitlines(keepends=True)
    whole, part = (earth._combined(bulletin_a, b"".join(some)) for some in (lines, lines[:15000]))
    last = float(lines[14999][16:26])
    before = whole[0] <= last
    for all_of_it, half in zip(whole, part, strict=True):
        np.testing.assert_array_equal(half[before], all_of_it[before])
        np.testing.assert_allclose(half[~before], all_of_it[~before], atol=1e-3)
    assert not np.array_equal(whole[1][~before], part[1][~before])
