"""Interpolation on grids, against scipy."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from gpucube.arrays.backend import to_host
from gpucube.arrays.interpolation import interpolate_log, interpolation_matrix

EDGES = (np.array([0.0, 1.0, 1.5, 4.0]), np.array([-2.0, -1.0, 0.5, 1.0, 3.0]), np.array([-1.0, 0.0, 5.0]))
NODES = [0.5 * (edges[1:] + edges[:-1]) for edges in EDGES]
POINTS = (np.array([0.0, 0.7, 1.2, 3.9]), np.linspace(-2, 3, 7), np.array([-1.0, -0.5, 2.0, 4.9, 5.0]))


def matrices(backend):
    return [
        interpolation_matrix(backend.asarray(points), backend.asarray(nodes), edges[0].item(), edges[-1].item())
        for points, nodes, edges in zip(POINTS, NODES, EDGES, strict=True)
    ]


def test_logarithm_on_a_grid(backend):
    rate = np.exp(np.random.default_rng(3).normal(size=[nodes.size for nodes in NODES]))
    found = to_host(interpolate_log(backend.asarray(rate), matrices(backend), 1e-10))
    grid = np.stack(np.meshgrid(*POINTS, indexing="ij"), axis=-1)
    wanted = RegularGridInterpolator(NODES, np.log(rate), bounds_error=False, fill_value=None)(grid)
    np.testing.assert_allclose(found, np.exp(wanted), rtol=1e-10)


def test_power_law_is_exact(backend):
    edges = np.log(np.geomspace(0.1, 10, 6))
    nodes, points = 0.5 * (edges[1:] + edges[:-1]), np.linspace(edges[0], edges[-1], 23)
    matrix = interpolation_matrix(backend.asarray(points), backend.asarray(nodes), edges[0].item(), edges[-1].item())
    found = interpolate_log(backend.asarray(np.exp(-2.7 * nodes)), [matrix], 1e-30)
    np.testing.assert_allclose(to_host(found), np.exp(-2.7 * points), rtol=1e-12)


def test_what_is_not_known_stays_so(backend):
    rate = np.ones([nodes.size for nodes in NODES])
    rate[1, 2, 0] = np.nan
    unknown = np.isnan(to_host(interpolate_log(backend.asarray(rate), matrices(backend), 1e-10)))
    touched = [np.abs(to_host(matrix)[:, node]) > 0 for matrix, node in zip(matrices(backend), (1, 2, 0), strict=True)]
    np.testing.assert_array_equal(unknown, np.einsum("i,j,k->ijk", *touched))


def test_outside_of_the_axis(backend):
    points = backend.asarray(np.array([-0.1, 0.0, 4.0, 4.1]))
    matrix = to_host(interpolation_matrix(points, backend.asarray(NODES[0]), 0.0, 4.0))
    assert np.isnan(matrix).all(axis=1).tolist() == [True, False, False, True]


def test_single_bin_and_floor(backend):
    matrix = interpolation_matrix(backend.asarray(np.array([0.2, 0.8])), backend.asarray(np.array([0.5])), 0.0, 1.0)
    found = interpolate_log(backend.asarray(np.array([0.0])), [matrix], 1e-6)
    assert to_host(found) == pytest.approx([1e-6, 1e-6])
