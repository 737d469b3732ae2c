"""What a user types for groups: it means what it says, or one line says what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from gpucube.errors import DataError, OptionError
from gpucube.observations.adaptive import AdaptiveGroups
from gpucube.observations.group_axis import ObservationGroupAxis
from gpucube.observations.group_by import group_axis, groups_by, livetime_seconds
from gpucube.observations.groups import ObservationGroups

finite = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALT:0,45,60,90", ObservationGroupAxis("ALT", edges=(0, 45, 60, 90), unit="deg")),
        (" alt : 0, 45 ,90 deg ", ObservationGroupAxis("ALT", edges=(0, 45, 90), unit="deg")),
        ("AZ:0,1,3.1rad", ObservationGroupAxis("AZ", edges=(0, 1, 3.1), unit="rad")),
        ("AZ:-90,90,270", ObservationGroupAxis("AZ", edges=(-90, 90, 270), unit="deg")),
        ("ZENITH:0,.3e2,60", ObservationGroupAxis("ZENITH", edges=(0, 30, 60), unit="deg")),
        ("MUONEFF:0.5,0.7,1", ObservationGroupAxis("MUONEFF", edges=(0.5, 0.7, 1))),
        ("NSB:0,1,inf", ObservationGroupAxis("NSB", edges=(0, 1, np.inf))),
        ("LIVETIME:0,20,40 min", ObservationGroupAxis("LIVETIME", edges=(0, 20, 40), unit="min")),
        ("N_TELS=3,4", ObservationGroupAxis("N_TELS", values=(3, 4))),
        ("MUONEFF=0.5,1", ObservationGroupAxis("MUONEFF", values=(0.5, 1.0))),
        ("OBJECT=Crab Nebula, PKS 2155-304", ObservationGroupAxis("OBJECT", values=("Crab Nebula", "PKS 2155-304"))),
        ("east-west", ObservationGroupAxis("AZ", edges=(0, 180, 360), unit="deg")),
        ("North-South", ObservationGroups.default().axes[1]),
    ],
)
def test_axes(text: str, expected: ObservationGroupAxis) -> None:
    assert group_axis(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ALT",
        "zenith",
        ":0,1",
        "ALT:",
        "ALT:45",
        "ALT:0,,90",
        "ALT:90,45",
        "ALT:0,nan,90",
        "ALT:0deg,45deg",
        "ALT:0,45 90",
        "ALT:0,45,90parsnip",
        "AZ:0,180,540",
        "AZ:0,1TeV",
        "N_TELS=",
        "N_TELS=3,3",
        "N_TELS=3,nan",
    ],
)
def test_nonsense_is_one_line_with_an_example(text: str) -> None:
    with pytest.raises(OptionError) as error:
        group_axis(text)
    assert repr(text) in str(error.value)
    assert "for example ALT:0,45" in str(error.value)
    assert "\n" not in str(error.value)


@given(text=st.text(max_size=20) | st.from_regex(r"\A(ALT|X)[:=][-0-9a-z., ]{0,12}\Z"))
def test_any_text_is_an_axis_or_an_option_error(text: str) -> None:
    try:
        axis = group_axis(text)
    except OptionError:
        return
    assert axis.n_bins >= 1


@given(edges=st.lists(finite, min_size=2, max_size=6, unique=True).map(sorted))
def test_edges_come_back(edges: list[float]) -> None:
    assert group_axis(f"X:{','.join(map(str, edges))}").edges == tuple(edges)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 7200), ("0.5", 1800), ("5 h", 18000), ("300min", 18000), ("1e3 s", 1000), ("1d", 86400)]
)
def test_livetime(text: str, seconds: float) -> None:
    assert livetime_seconds(text) == pytest.approx(seconds, rel=1e-15)


@pytest.mark.parametrize("text", ["", "h", "-2", "0", "inf", "nan", "2 deg", "2 parsnips", "two", "1e999"])
def test_no_livetime(text: str) -> None:
    with pytest.raises(OptionError, match="--min-livetime"):
        livetime_seconds(text)


def test_groups() -> None:
    groups = groups_by(["ALT:0,45,90", "north-south"])
    assert groups == ObservationGroups.test()
    adaptive = groups_by(["east-west", "Zenith"], min_livetime="2", min_observations=3, per_wobble=True)
    assert adaptive == AdaptiveGroups((group_axis("east-west"),), 7200.0, 3, True)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"texts": ["zenith"]}, "--min-livetime"),
        ({"texts": ["ALT:0,90"], "min_livetime": "2"}, "--group-by zenith"),
        ({"texts": [], "per_wobble": True}, "--group-by zenith"),
        ({"texts": ["zenith", "ALT:0,90"], "min_observations": 2}, "ALT_M"),
        ({"texts": ["zenith", "alt:0,90"], "min_observations": 2}, "ALT_M"),
        ({"texts": ["zenith", "zenith"], "min_observations": 2}, "twice"),
        ({"texts": ["east-west", "north-south"]}, "AZ_M"),
        ({"texts": []}, "at least one axis"),
    ],
)
def test_what_does_not_go_together(arguments: dict, word: str) -> None:
    with pytest.raises(OptionError, match=word):
        groups_by(**arguments)


# Columns as real tables spell them


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("ALT:0,45,90", "ALT_PNT"),
        ("alt:0,45,90", "ALT"),
        ("ZEN:0,45,90", "ZEN_PNT"),
        ("ZENITH:0,45,90", "Zenith"),
        ("zen:0,45,90", "ZENITH"),
        ("MUONEFF:0,45,90", "MUON_EFFICIENCY"),
        ("muoneff:0,45,90", "MUONEFF"),
        ("NSB:0,45,90", "NSBLEVEL"),
        ("NSBLEVEL:0,45,90", "NSB"),
        ("NTELS:0,45,90", "N_TELS"),
        ("My_Column:0,45,90", "my_column"),
    ],
)
def test_spellings(text: str, column: str) -> None:
    assert group_axis(text).indices(Table({"OTHER": [1, 2], column: [30.0, 60.0]})).tolist() == [0, 1]


def test_exact_spelling_comes_first() -> None:
    table = Table({"ZEN": [1.0], "zenith": [80.0], "x": [1.0], "X": [80.0]})
    for name, index in (("ZEN", 0), ("zenith", 1), ("x", 0), ("X", 1)):
        assert ObservationGroupAxis(name, edges=(0, 45, 90)).indices(table).tolist() == [index]


def test_zenith_angle_from_altitude() -> None:
    table = Table({"ALT_PNT": [90.0, 50.0, 20.0, np.nan] * u.deg})
    assert group_axis("ZEN:0,40,60").indices(table).tolist() == [0, 1, -1, -1]
    with pytest.raises(DataError, match="ZEN"):
        group_axis("ZEN:0,40,60").indices(Table({"X": [1]}))


@given(
    alt=st.lists(st.sampled_from([-1.0, 0.0, 44.9, 45.0, 90.0, 90.5, np.nan]), min_size=5, max_size=5),
    tels=st.lists(st.integers(1, 5), min_size=5, max_size=5),
    names=st.lists(st.sampled_from(["Crab", "Mrk 421", ""]), min_size=5, max_size=5),
)
def test_no_group_has_a_reason_that_names_the_first_axis(alt: list, tels: list, names: list) -> None:
    table = Table({"ALT_PNT": alt * u.deg, "N_TELS": tels, "OBJECT": names})
    groups = groups_by(["ALT:0,45,90", "N_TELS=3,4", "OBJECT=Crab"])
    ids, reasons = groups.group_ids(table), groups.reasons(table)
    for i in range(5):
        wrong_alt, wrong_tels, wrong_name = not 0 <= alt[i] <= 90, tels[i] not in (3, 4), names[i] != "Crab"
        assert (ids[i] >= 0) == (reasons[i] == "") == (not (wrong_alt or wrong_tels or wrong_name))
        if wrong_alt:
            expected = "ALT is NaN" if np.isnan(alt[i]) else f"ALT {alt[i]:g} deg is outside 0..90 deg"
        elif wrong_tels:
            expected = f"N_TELS {tels[i]} is none of 3, 4"
        else:
            expected = ("OBJECT is blank" if not names[i] else "OBJECT Mrk 421 is none of Crab") if wrong_name else ""
        assert reasons[i] == expected
