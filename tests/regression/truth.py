"""Observations of a background of which everything is known, with effects that can be switched on one by one."""

from dataclasses import dataclass, field

import numpy as np

from gpucube.arrays.backend import get_backend
from gpucube.cubes.axis import Axis
from gpucube.observations.conditions import Conditions
from gpucube.regression.fit import ObservationCounts, fit_regression

AXES = (Axis.energy(0.2, 20.0, 20), Axis.field_of_view("dety", 2.4, 12), Axis.field_of_view("detx", 2.4, 12))
CORNERS = np.hypot(AXES[1].centers[:, None], AXES[2].centers) > 2.2
EFFECTS = (
    "turn_on", "zenith", "radial_turn_on", "radial_energy", "radial_zenith", "gradient", "gradient_constant",
    "gradient_across", "quadrupole", "muon_efficiency", "dead_time", "season", "azimuth",
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """Formulas of no telescope, none of which is a sum of the functions that are fitted."""

    effects: tuple[str, ...] = EFFECTS
    rate: float = 30.0
    scatter: float = 0.1
    strength: dict[str, float] = field(default_factory=dict)

    def log_rate(self, energy, x, y, conditions):
        """Logarithm of the rate in 1 / (s TeV sr); arguments are arrays that can be broadcast, in TeV and deg."""
        on = dict.fromkeys(EFFECTS, 0.0) | {name: self.strength.get(name, 1.0) for name in self.effects}
        zenith = np.deg2rad(90 - conditions.altitude.mean())
        airmass, tilt, decades = 1 / np.cos(zenith), np.tan(zenith), np.log10(energy)
        above = np.maximum(energy / conditions.threshold, 1.0)
        width = 1.7 * np.exp(
            0.15 * on["radial_energy"] * decades
            + 0.2 * on["radial_turn_on"] * np.exp(-above)
            + 0.15 * on["radial_zenith"] * (airmass - 1.2)
        )
        years = (conditions.covariates["TSTART"] - 1.5e8) / 3.156e7
        return (
            np.log(self.rate)
            - 2.6 * np.log(energy)
            - 0.5 * (x**2 + y**2) / width**2
            + on["turn_on"] * np.log1p(-0.8 * np.exp(-2 * (above - 1)))
            + on["zenith"] * (-0.8 * np.log(airmass) + 0.3 * decades * (airmass - 1.2))
            + on["gradient"] * 0.15 * tilt * np.sin(0.6 * y)
            + on["gradient_constant"] * 0.08 * (np.sin(0.5 * x) - np.sin(0.4 * y))
            - on["gradient_across"] * 0.1 * tilt * np.sin(0.5 * x)
            + on["quadrupole"] * 0.04 * x * y
            + on["muon_efficiency"] * 1.5 * np.log(conditions.covariates["MUONEFF"])
            + on["dead_time"] * 0.7 * np.log((conditions.ontime / conditions.livetime - 1) / 0.07)
            + on["season"] * 0.3 * np.sin(2 * np.pi * years)
            + on["azimuth"] * 0.15 * np.sin(tilt) * np.cos(np.deg2rad(conditions.azimuth.mean() - 30.0))
        )


def make_conditions(n, rng):
    """Conditions of observations, all different."""
    return [
        Conditions(
            obs_id=number,
            livetime=1500.0,
            ontime=1500.0 * (1 + rng.uniform(0.05, 0.1)),
            threshold=0.25 * rng.uniform(1.0, 2.0),
            pointing=(rng.uniform(0, 360), rng.uniform(-60, 20)),
            altitude=np.array([rng.uniform(45, 88)]),
            azimuth=np.array([rng.uniform(0, 360)]),
            covariates={"MUONEFF": rng.uniform(0.7, 1.1), "N_TELS": 4.0, "TSTART": 1.5e8 + 3e7 * rng.uniform()},
        )
        for number in range(1, n + 1)
    ]


def expected_counts(truth, conditions, axes=AXES, n_nodes=4):
    """Expected counts in the cells above the threshold."""
    energy, dety, detx = axes
    edges = energy.edges
    low = np.clip(conditions.threshold, edges[:-1], edges[1:])
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    half = 0.5 * np.log(edges[1:] / low)[:, None]
    at = np.exp(np.log(np.sqrt(edges[1:] * low))[:, None] + half * nodes)
    rate = np.exp(truth.log_rate(at[:, :, None, None], detx.centers, dety.centers[:, None], conditions))
    per_energy = np.einsum("en,enyx->eyx", half * weights * at, rate)
    solid = np.outer(np.diff(np.sin(dety.edges_in("rad"))), np.diff(detx.edges_in("rad")))
    return conditions.livetime * per_energy * solid


def mean_counts(truth, conditions, axes=AXES):
    """Expected counts on the mean over observations, whose rates scatter."""
    return expected_counts(truth, conditions, axes) * np.exp(0.5 * truth.scatter**2)


def observe(truth, conditions, rng, axes=AXES, open_fractions=None, effects=None):
    """Counts of observations, whose rates scatter, if the logarithms of their scatter are not given."""
    backend = get_backend("numpy")
    items = []
    for number, item in enumerate(conditions):
        fraction = None if open_fractions is None else open_fractions[number]
        effect = truth.scatter * rng.normal() if effects is None else effects[number]
        mean = expected_counts(truth, item, axes) * np.exp(effect)
        counts = rng.poisson(mean if fraction is None else mean * fraction)
        items.append(ObservationCounts(item, backend.asarray(counts), fraction))
    return items


def pulls(seed, n_obs=40, n_new=4, masked=False):
    """Of the logarithm of the rate of new observations, where counts are enough to know it."""
    rng = np.random.default_rng(seed)
    truth = Truth(rate=60.0, strength={"season": 0.0})
    conditions = make_conditions(n_obs, rng)
    fractions = [rng.uniform(0.3, 1.0, CORNERS.shape) for _ in conditions] if masked else None
    observed = observe(truth, conditions, rng, open_fractions=fractions)
    model = fit_regression(observed, AXES, get_backend("numpy"), ("+dead_time",))
    found = []
    for item in make_conditions(n_new, rng):
        background = model.background(item, AXES)
        used = (AXES[0].edges[:-1] > item.threshold) & (AXES[0].edges[1:] < 8.0)
        mean = mean_counts(truth, item)[used] / item.livetime / background.rate.bin_volume[used]
        rate, error = background.rate.data[used], background.error.data[used]
        found.append((np.log(rate / mean) * rate / error)[:, ~CORNERS])
    return np.concatenate([values.ravel() for values in found])
