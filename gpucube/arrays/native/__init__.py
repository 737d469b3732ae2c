"""Faster versions of a few hot functions, each for one array library.

Each has the name, the signature and the answers of the portable function that it replaces,
and everything works with this package deleted.
"""

# (library, function) -> module that holds the function of that name
FUNCTIONS: dict[tuple[str, str], str] = {
    ("numpy", "random_bits"): "gpucube.arrays.native.philox_numpy",
    ("cupy", "random_bits"): "gpucube.arrays.native.philox_cupy",
    ("cupy", "background_events"): "gpucube.arrays.native.sampling_cupy",
    ("numpy", "between_rotations"): "gpucube.arrays.native.fov_numpy",
    ("numpy", "bin_counts"): "gpucube.arrays.native.histogram_numpy",
    ("cupy", "bin_counts"): "gpucube.arrays.native.histogram_cupy",
}
