"""Elementary functions with the same bits on every Array API library.

Libraries take logarithms and sines from different mathematics libraries and vector units, whose
results differ in the last place; so do square roots (those of PyTorch on a CPU, one in a hundred).
These functions use only what every library rounds correctly, one operation at a time: sums, products,
quotients of arrays, comparisons, and exact powers of two from a table. They reduce the argument [1]_
[2]_ and sum a polynomial whose error is below that of rounding: a Taylor series, economised [3]_.

Two things must stay as they are: quotients are of two arrays (PyTorch on a GPU multiplies by the
reciprocal of a Python number), and no function may be compiled as a whole (a compiler could fuse a
product and a sum).

References
----------
.. [1] W. J. Cody, W. Waite, Software Manual for the Elementary Functions, Prentice-Hall, 1980.
.. [2] J.-M. Muller, Elementary Functions: Algorithms and Implementation, 3rd ed., Birkhäuser, 2016.
.. [3] C. Lanczos, Trigonometric interpolation of empirical and analytical functions, J. Math. Phys. 17
       (1938) 123.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import reduce
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["HALF_LN2", "SQRT_2", "cos_sin_turns", "exp", "exp_between", "expm1", "log", "log1p", "sqrt"]

Array = Any

# The powers of two from 2^-MAX_EXPONENT to 2^MAX_EXPONENT and their reciprocals are normal numbers.
MAX_EXPONENT = 1020

# ln 2 in two parts: the product of the high one (40 bits) and an exponent is exact.
_LN2 = Fraction("0.693147180559945309417232121458176568075500134360255")
_LN2_HIGH = math.floor(_LN2 * 2**40) / 2**40
_LN2_LOW = float(_LN2 - Fraction(_LN2_HIGH))
HALF_LN2 = float(_LN2 / 2)

SQRT_2, SQRT_HALF = math.sqrt(2), math.sqrt(0.5)
# Significands begin there, near sqrt(1/2); the lower half of its bits is 0, so that 32-bit arithmetic can tell.
LEAST_SIGNIFICAND = float.fromhex("0x1.6a09ep-1")


def _economised(series: Iterable[Fraction], low: str, high: str, n: int) -> tuple[float, ...]:
    """First `n` coefficients of a power series, changed so that the polynomial stays close to it in a range.

    Each term that is left out is replaced by the polynomial of lower degree that is nearest to it in the range,
    which is what a Chebyshev polynomial leaves of its leading term.
    """
    with localcontext(prec=50):
        shift, scale = (Decimal(low) + Decimal(high)) / 2, (Decimal(high) - Decimal(low)) / 2
        coefficients = [Decimal(term.numerator) / term.denominator for term in series]
        while len(coefficients) > n:
            chebyshev = _chebyshev(len(coefficients) - 1, shift, scale)
            factor = coefficients[-1] / chebyshev[-1]
            coefficients = [mine - factor * its for mine, its in zip(coefficients, chebyshev, strict=True)][:-1]
        return tuple(map(float, coefficients))


def _chebyshev(degree: int, shift: Decimal, scale: Decimal) -> list[Decimal]:
    """Coefficients of the Chebyshev polynomial of (x - shift) / scale; the constant term comes first."""
    zero = Decimal(0)
    before, now = [Decimal(1)], [-shift / scale, 1 / scale]
    for _ in range(degree - 1):
        doubled = [2 * (c - shift * d) / scale for c, d in zip([zero, *now], [*now, zero], strict=True)]
        before, now = now, [c - d for c, d in zip(doubled, [*before, zero, zero], strict=True)]
    return now


# (2 artanh(s) - 2 s) / s^3 in powers of s^2, for |s| <= 3 - 2 sqrt(2).
_ARTANH = _economised((Fraction(2, 2 * j + 3) for j in range(13)), "0", "0.0295", 7)
# (exp(r) - 1 - r) / r^2 in powers of r, for |r| <= ln(2) / 2.
_EXP = _economised((Fraction(1, math.factorial(j)) for j in range(2, 18)), "-0.3466", "0.3466", 10)
# (cos(a) - 1) / a^2 and (sin(a) - a) / a^3 in powers of a^2, for |a| <= pi / 4.
_COS = _economised((Fraction((-1) ** j, math.factorial(2 * j)) for j in range(1, 11)), "0", "0.617", 7)
_SIN = _economised((Fraction((-1) ** j, math.factorial(2 * j + 1)) for j in range(1, 11)), "0", "0.617", 6)
# 1 / sqrt(1 + f) in powers of f, within 2e-5, for 1 + f from sqrt(1/2) to sqrt(2).
_INVERSE_SQRT = _economised((Fraction((-1) ** j * math.comb(2 * j, j), 4**j) for j in range(16)), "-0.293", "0.4143", 6)


def log(x: Array) -> Array:
    """Natural logarithm.

    Parameters
    ----------
    x : array of float64, any shape
        Values in [2^-1020, 2^1020]; others give no meaningful result.

    Returns
    -------
    array of float64, shape of `x`
        Logarithm, within 1 ulp of the true value, also near 1.
    """
    xp = array_namespace(x)
    index, significand = _split(x, xp=xp)
    exponent = xp.astype(index - MAX_EXPONENT, xp.float64)
    f = significand - 1.0  # exact
    s = f / (f + 2.0)
    # log(1 + f) = 2 artanh(s), and 2 s = f - s f: the leading term carries no rounding error.
    square = s * s
    correction = s * (f - square * _polynomial(_ARTANH, square))
    return exponent * _LN2_HIGH + (f - (correction - exponent * _LN2_LOW))


def exp(y: Array) -> Array:
    """Exponential function.

    Parameters
    ----------
    y : array of float64, any shape
        Values in (-700, 700); others give no meaningful result.

    Returns
    -------
    array of float64, shape of `y`
        Exponential, within 1 ulp of the true value.
    """
    xp = array_namespace(y)
    exponent = xp.round(y * float(1 / _LN2))
    r = (y - exponent * _LN2_HIGH) - exponent * _LN2_LOW
    index = xp.astype(exponent, xp.int64) + MAX_EXPONENT
    return exp_between(r) * _lookup(_powers_of_two(1.0, y, xp=xp), index, xp=xp)


def exp_between(r: Array) -> Array:
    """Exponential function of small numbers.

    Parameters
    ----------
    r : array of float64, any shape
        Values in [-ln(2) / 2, ln(2) / 2].

    Returns
    -------
    array of float64, shape of `r`
        Exponential, within 1 ulp of the true value.
    """
    return 1.0 + (r + r * r * _polynomial(_EXP, r))


def sqrt(x: Array) -> Array:
    """Square root.

    Parameters
    ----------
    x : array of float64, any shape
        0 or values in [2^-1020, 2^1020]; others give no meaningful result.

    Returns
    -------
    array of float64, shape of `x`
        Square root, within 1 ulp of the true value.
    """
    xp = array_namespace(x)
    zero = x == 0.0
    index, significand = _split(xp.where(zero, 1.0, x), xp=xp)
    # MAX_EXPONENT is even: an odd index leaves one factor of two to the root.
    odd = xp.astype(index % 2, xp.float64)
    inverse = _polynomial(_INVERSE_SQRT, significand - 1.0)
    # Newton's method for 1 / sqrt, which needs no quotient: the relative error e becomes 3/2 e^2.
    inverse = inverse * (1.5 - significand * 0.5 * inverse * inverse)
    inverse = inverse * (1.0 - odd * (1.0 - SQRT_HALF))
    square = significand * (1.0 + odd)
    root = square * inverse
    root = root + (square - root * root) * (inverse * 0.5)
    half = index // 2 + MAX_EXPONENT // 2
    return xp.where(zero, 0.0, root * _lookup(_powers_of_two(1.0, x, xp=xp), half, xp=xp))


def log1p(x: Array) -> Array:
    """Logarithm of 1 + x, accurate also for small x.

    Parameters
    ----------
    x : array of float64, any shape
        Values in (-1, 2^1020].

    Returns
    -------
    array of float64, shape of `x`
        Logarithm, within a few ulp.

    Notes
    -----
    W. Kahan's method: the rounding error of 1 + x cancels in log(1 + x) / ((1 + x) - 1) (N. J. Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM, 2002, sections 1.14.1 and 4.2).
    """
    xp = array_namespace(x)
    w = 1.0 + x
    rounded = w - 1.0
    tiny = rounded == 0.0
    return xp.where(tiny, x, log(w) * (x / xp.where(tiny, 1.0, rounded)))


def expm1(y: Array) -> Array:
    """Exponential minus 1, accurate also for small y.

    Parameters
    ----------
    y : array of float64, any shape
        Values in (-700, 700).

    Returns
    -------
    array of float64, shape of `y`
        Exponential minus 1, within a few ulp.

    Notes
    -----
    W. Kahan's method, as in `log1p`.
    """
    xp = array_namespace(y)
    w = exp(y)
    rounded = w - 1.0
    logarithm = log(w)
    tiny = logarithm == 0.0
    return xp.where(tiny, y, rounded * (y / xp.where(tiny, 1.0, logarithm)))


def cos_sin_turns(turns: Array) -> tuple[Array, Array]:
    """Cosine and sine of an angle in turns.

    Parameters
    ----------
    turns : array of float64, any shape
        Angles as fractions of the full circle, in [0, 1].

    Returns
    -------
    cos : array of float64, shape of `turns`
        Cosine of 2 pi times `turns`, within 2 ulp of the true value.
    sin : array of float64, shape of `turns`
        Sine, likewise.
    """
    xp = array_namespace(turns)
    quarters = turns * 4.0
    quarter = xp.round(quarters)
    # The difference is exact: nothing is lost near the zeros of sine and cosine.
    angle = (quarters - quarter) * (math.pi / 2)
    square = angle * angle
    cos = 1.0 + square * _polynomial(_COS, square)
    sin = angle + angle * (square * _polynomial(_SIN, square))
    swapped = (quarter == 1.0) | (quarter == 3.0)
    cos, sin = xp.where(swapped, sin, cos), xp.where(swapped, cos, sin)
    left = (quarter == 1.0) | (quarter == 2.0)
    lower = (quarter == 2.0) | (quarter == 3.0)
    return xp.where(left, -cos, cos), xp.where(lower, -sin, sin)


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Horner's rule; the constant term comes first."""
    return reduce(lambda total, coefficient: total * x + coefficient, reversed(coefficients))


def _split(x: Array, *, xp: Any) -> tuple[Array, Array]:
    """Index of a power of two in the table and x divided by it, exactly: about from sqrt(1/2) to sqrt(2)."""
    bounds = _powers_of_two(LEAST_SIGNIFICAND, x, xp=xp)
    index = xp.astype(xp.searchsorted(bounds, _flat(x, xp=xp), side="right"), xp.int64) - 1
    index = xp.reshape(index, x.shape)
    return index, x * _lookup(_powers_of_two(1.0, x, xp=xp), 2 * MAX_EXPONENT - index, xp=xp)


def _powers_of_two(factor: float, like: Array, *, xp: Any) -> Array:
    """`factor` times 2^-MAX_EXPONENT to 2^MAX_EXPONENT, on the device of `like`."""
    powers = [math.ldexp(factor, exponent) for exponent in range(-MAX_EXPONENT, MAX_EXPONENT + 1)]
    return xp.asarray(powers, dtype=xp.float64, device=array_api_compat.device(like))


def _lookup(table: Array, index: Array, *, xp: Any) -> Array:
    """Entries of a table; the standard promises `take` for flat indices only."""
    return xp.reshape(xp.take(table, _flat(index, xp=xp)), index.shape)


def _flat(x: Array, *, xp: Any) -> Array:
    return xp.reshape(x, (-1,))
