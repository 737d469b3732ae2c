"""Speed and memory of gpucube against its peers: ``python -m benchmarks``.

A benchmark is a function that takes `Settings` and returns rows of the table. It times its functions in
turns, so that whatever else the machine does slows all of them alike, and compares their answers. To add
one, write it in a module here and name it in `BENCHMARKS` of ``__main__``.
"""
