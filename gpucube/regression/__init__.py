"""One Poisson regression over all observations: the background as a smooth function of its conditions."""

from gpucube.regression.model import RegressionModel

__all__ = ["RegressionModel"]
