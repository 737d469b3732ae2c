"""Terms of the regression: what the logarithm of the background rate is the sum of.

Each term is a set of products of a function of the conditions (energy, threshold, zenith angle, ...) and a
function of the place in the field of view. All are smooth: splines have a penalty on their curvature, and every term
that a model can do without has one on its size.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpucube.errors import OptionError

__all__ = ["COVARIATE_TERMS", "DEFAULT", "TERMS", "Term", "terms_named"]


@dataclass(frozen=True)
class Term:
    """One term of the logarithm of the rate.

    Attributes
    ----------
    name : str
        Name by which a user chooses it.
    meaning : str
        What it is, for the documentation and the model file.
    conditions : tuple of str
        Functions of the conditions, see `gpucube.regression.features`: products with ``*``, splines with ``~``, at most
        one in a product.
    field : tuple of str
        Functions of the place in the field of view.
    smooth : bool
        Whether the size of the term is not penalised, but for its curvature: it is always there.
    """

    name: str
    meaning: str
    conditions: tuple[str, ...]
    field: tuple[str, ...]
    smooth: bool = False


TERMS = {
    term.name: term
    for term in (
        Term("spectrum", "spectrum in energy", ("~energy",), ("1",), smooth=True),
        Term("turn_on", "turn-on in energy over threshold", ("~turn_on",), ("1",)),
        Term(
            "zenith",
            "rate and spectral slope against sec(zenith)",
            ("airmass", "airmass*energy", "airmass*above"),
            ("1",),
        ),
        Term(
            "zenith_squared",
            "the same, not linear",
            ("airmass*airmass", "airmass*airmass*energy", "airmass*energy*energy"),
            ("1",),
        ),
        Term("azimuth", "rate towards north and east, as tan(zenith)", ("north", "east"), ("1",)),
        Term("radial", "profile in offset^2", ("1",), ("~radial",), smooth=True),
        Term("radial_turn_on", "profile against energy over threshold", ("~~turn_on",), ("~radial",)),
        Term("radial_energy", "profile against energy", ("energy", "energy*energy"), ("~radial",)),
        Term("radial_energy_cubed", "the same, to its third power", ("energy*energy*energy",), ("~radial",)),
        Term("radial_zenith", "profile against zenith angle", ("airmass",), ("~radial",)),
        Term("radial_zenith_energy", "the same, against energy", ("airmass*energy",), ("~radial",)),
        Term("gradient", "gradient towards zenith, as tan(zenith)", ("tilt",), ("y",)),
        Term("gradient_constant", "gradients of the camera", ("1",), ("y", "x")),
        Term("gradient_across", "gradient across, as tan(zenith)", ("tilt",), ("x",)),
        Term(
            "gradient_energy",
            "gradient towards zenith against energy and zenith angle",
            ("tilt*~~turn_on", "tilt*energy", "tilt*energy*energy", "tilt*airmass", "above", "energy"),
            ("y",),
        ),
        Term("gradient_across_energy", "gradient across against energy", ("above", "energy"), ("x",)),
        Term(
            "gradient_offset",
            "gradients growing faster than the offset",
            ("tilt", "1", "tilt*energy"),
            ("y*offset2", "x*offset2"),
        ),
        Term("quadrupole", "elongation of the profile", ("1", "tilt"), ("quadrupole", "cross")),
        Term(
            "quadrupole_energy",
            "elongation against energy and zenith angle",
            ("energy", "energy*energy", "tilt*energy"),
            ("quadrupole", "cross"),
        ),
        Term(
            "muon_efficiency",
            "rate, slope and turn-on against muon efficiency",
            ("muon", "muon*energy", "muon*~~turn_on"),
            ("1",),
        ),
        Term("dead_time", "rate against dead time, a measure of the trigger rate", ("dead_time",), ("1",)),
        Term("galactic", "rate against distance from the Galactic plane, for night-sky light", ("galactic",), ("1",)),
        Term("nsb", "rate against night-sky brightness", ("nsb",), ("1",)),
        Term("telescopes", "rate against number of telescopes", ("telescopes",), ("1",)),
        Term("season", "rate against time of the year", ("season_cos", "season_sin"), ("1",)),
        Term("time", "rate against time", ("time",), ("1",)),
        Term("nights", "rates of nights near in time are alike", (), ()),
    )
}

# Terms that ask for a number which not every observation has, and its name
COVARIATE_TERMS = {
    "muon_efficiency": "MUONEFF",
    "nsb": "NSBLEVEL",
    "telescopes": "N_TELS",
    "season": "TSTART",
    "time": "TSTART",
    "nights": "MJD",
}
# What has to be known of many targets before it tells something about another
NOT_DEFAULT = {"galactic", "dead_time", "nsb", "telescopes", "season", "time"}
DEFAULT = tuple(name for name in TERMS if name not in NOT_DEFAULT)


def terms_named(names: tuple[str, ...] | None) -> tuple[Term, ...]:
    """Terms by their names.

    Parameters
    ----------
    names : tuple of str, optional
        Names; a leading ``+`` or ``-`` adds one to the default terms or takes it away. Default: the default terms.

    Returns
    -------
    tuple of Term
        Terms in the order of `TERMS`, which does not depend on that of the names.

    Raises
    ------
    OptionError
        There is no such term, or the spectrum is missing.
    """
    names = names or ()
    plain = {name[1:] if name.startswith(("+", "-")) else name for name in names}
    if unknown := sorted(plain - set(TERMS)):
        raise OptionError(
            f"unknown terms of a regression: {', '.join(name or 'a sign without a name' for name in unknown)}; "
            f"choose from {', '.join(TERMS)}"
        )
    chosen = {name for name in names if name[0] not in "+-"} or set(DEFAULT)
    chosen |= {name[1:] for name in names if name[0] == "+"}
    chosen -= {name[1:] for name in names if name[0] == "-"}
    if "spectrum" not in chosen:
        raise OptionError("a regression needs the term spectrum")
    return tuple(term for name, term in TERMS.items() if name in chosen)
