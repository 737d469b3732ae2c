"""Functions on arrays of any Array API library: no units, no files.

Each takes the library and the device from its arguments and returns arrays of the same library
on the same device. `gpucube.arrays.backend` opens a library and moves arrays.
"""

__all__: list[str] = []
