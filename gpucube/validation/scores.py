"""How well models predict observations: deviance, and skill between a flat field of view and a perfect model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.backend import Array, to_host
from gpucube.arrays.skill import SENSES, deviances, flat_prediction, perfect_deviances
from gpucube.errors import GpucubeError
from gpucube.validation.cells import ObservedCells

__all__ = ["Score", "Scores", "score_cells"]


@dataclass(frozen=True, eq=False)
class Score:
    """Deviances in one sense.

    Attributes
    ----------
    sense : {"absolute", "shape", "shape_per_energy"}
        What is compared.
    model, flat, perfect : numpy.ndarray of float64, shape (n_obs,)
        Deviance of the model and of a flat field of view, and that of a perfect model on average.
    """

    sense: str
    model: NDArray[np.float64]
    flat: NDArray[np.float64]
    perfect: NDArray[np.float64]

    @property
    def skill(self) -> float:
        """Part of the attainable gain over a flat field of view: 0 as flat, 1 perfect."""
        return float(_ratio(self._gain, self._attainable))

    @property
    def error(self) -> float:
        """Statistical error of the skill: jackknife over observations; NaN for fewer than two."""
        n_obs = self.model.size
        if n_obs < 2:
            return float("nan")
        without = _ratio(self._gain.sum() - self._gain, self._attainable.sum() - self._attainable, summed=False)
        return float(np.sqrt((n_obs - 1) * np.var(without)))

    @property
    def _gain(self) -> NDArray[np.float64]:
        return self.flat - self.model

    @property
    def _attainable(self) -> NDArray[np.float64]:
        return self.flat - self.perfect


def _ratio(
    gain: NDArray[np.float64], attainable: NDArray[np.float64], *, summed: bool = True
) -> NDArray[np.float64] | np.float64:
    above, below = (gain.sum(), attainable.sum()) if summed else (gain, attainable)
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


@dataclass(frozen=True, eq=False)
class Scores:
    """How well models predict observations.

    Attributes
    ----------
    cells : ObservedCells
        What was observed.
    observed, expected : numpy.ndarray of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Observed and predicted counts.
    known : numpy.ndarray of bool, same shape
        Cells for which there is a prediction; in the others both numbers are 0.
    n_unknown : int
        Number of counts in cells for which there is none.
    senses : dict of str to Score
        Deviances in each sense.
    """

    cells: ObservedCells
    observed: NDArray[np.float64]
    expected: NDArray[np.float64]
    known: NDArray[np.bool_]
    n_unknown: int
    senses: dict[str, Score]

    @property
    def n_observed(self) -> int:
        """Number of counts in the cells for which there is a prediction."""
        return round(self.observed.sum())

    @property
    def n_predicted(self) -> float:
        """Number of counts that were predicted."""
        return float(self.expected.sum())


def score_cells(cells: ObservedCells, expected: Array, reference: Array | None = None) -> Scores:
    """Score predicted counts against those that were observed.

    Parameters
    ----------
    cells : ObservedCells
        What was observed.
    expected : array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Predicted counts; cells where it is NaN are left out for the model, for a flat field and for a perfect model.

    reference : array of float64, same shape, optional
        Prediction that says how a perfect model would share counts out, the same for all models that are to be
        compared closely; `expected` if not given.

    Returns
    -------
    Scores
        The scores. The flat field of view has the mean spectrum of all observations of `cells`, whatever the model.

    Raises
    ------
    GpucubeError
        Nothing is predicted where something was observed.
    """
    xp = cells.backend.xp
    known = ~xp.isnan(expected)
    flat = flat_prediction(cells.counts, cells.exposure)
    counts, expected, flat = (xp.where(known, values, 0.0) for values in (cells.counts, expected, flat))
    ideal = expected if reference is None else xp.where(known & ~xp.isnan(reference), reference, 0.0)
    found = xp.stack([deviances(counts, expected), deviances(counts, flat), perfect_deviances(counts, ideal)])
    everything = to_host(xp.concat([xp.reshape(values, (-1,)) for values in (found, cells.counts, counts, expected)]))
    n_found, shape = 9 * counts.shape[0], tuple(counts.shape)
    numbers = everything[:n_found].reshape(3, len(SENSES), -1)
    total, observed, predicted = everything[n_found:].reshape(3, *shape)
    if not observed.any():
        raise GpucubeError("no count lies in a cell for which the models predict anything: nothing to score")
    senses = {sense: Score(sense, *numbers[:, number]) for number, sense in enumerate(SENSES)}
    unknown = round(total.sum() - observed.sum())
    return Scores(cells, observed, predicted, to_host(known), unknown, senses)
