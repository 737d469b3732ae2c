"""Cubes and background models: arrays with binned axes and units, and their FITS files."""

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import read_background_model, write_image, write_table

__all__ = ["Axis", "BackgroundModel", "Cube", "read_background_model", "write_image", "write_table"]
