"""Speed and memory of gpucube against its peers: ``python -m benchmarks``.

A benchmark is a function that takes `Settings` and returns rows of the table. It times its functions in
turns, so that whatever else the machine does slows all of them alike, and compares their answers. To add
one, append it to the `BENCHMARKS` of a module here, or name a new module in `MODULES` of ``__main__``.
"""
