"""Random numbers with the same bits on every Array API library.

The generator is Philox4x64-10 [1]_: a block cipher that turns a counter into four random words. Word
`i` of a stream depends on the key and on `i` only, so a stream can be computed in any order and in
chunks of any size. The key is the pair (seed, observation). All functions take the number of values
`n`, the `key`, and the number `start` of the first one: a chunk is equal to that slice of the stream.

The standard promises neither unsigned arithmetic on every library nor what happens on overflow.
Words are therefore held as two limbs of 32 bits in int64 arrays, and no operation overflows.

References
----------
.. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as 1, 2, 3,
       SC'11, 2011, https://doi.org/10.1145/2063384.2063405
"""

from __future__ import annotations

import math
from operator import index as as_int
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

from gpucube.arrays.dispatch import fastest
from gpucube.arrays.elementary import cos_sin_turns, exp, expm1, log, log1p, sqrt

__all__ = [
    "check_spectrum",
    "check_stream",
    "is_nearly_flat",
    "log_powerlaw",
    "philox_words",
    "powerlaw",
    "random_bits",
    "standard_normal",
    "uniform",
]

Array = Any
Word = tuple[Array, Array]  # low and high 32 bits, each as int64 in [0, 2^32)

WORDS_PER_BLOCK = 4
ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
# The key grows by these in each round: golden ratio and sqrt(3) - 1, times 2^64.
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)

LOW16 = 2**16 - 1
LOW32 = 2**32 - 1
LOW53 = 2**53 - 1

# Widest span of a power law: E and E^(1-index) stay within the range of `elementary`.
MAX_LOG_RATIO = 690.0


def random_bits(n: int, key: tuple[int, int], *, start: int = 0, xp: Any, device: Any) -> Array:
    """Random words of 64 bits.

    Parameters
    ----------
    n : int
        How many words.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    start : int, default 0
        Number of the first word in the stream of this key.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result, as the creation functions of `xp` take it.

    Returns
    -------
    array of int64, shape (n,)
        Words `start` to `start + n - 1` of ``numpy.random.Philox(key=key, counter=0).random_raw()``: the
        same 64 bits, read as signed numbers.

    Raises
    ------
    ValueError
        `n` or `start` is negative, or `key` is not two integers of 64 bits.
    """
    n, key, start = check_stream(n, key, start)
    native = fastest(random_bits, xp)
    generate = philox_words if native is random_bits else native
    return generate(n, key, start=start, xp=xp, device=device)


def check_stream(n: int, key: tuple[int, int], start: int) -> tuple[int, tuple[int, int], int]:
    """Check which part of which stream is asked for.

    Parameters
    ----------
    n : int
        How many words.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    start : int
        Number of the first word.

    Returns
    -------
    tuple of int, tuple of two int, int
        The same as Python integers.

    Raises
    ------
    ValueError
        `n` or `start` is negative, or `key` is not two integers of 64 bits.
    """
    n, start = as_int(n), as_int(start)
    if n < 0 or start < 0:
        raise ValueError(f"n and start must not be negative: n = {n}, start = {start}")
    if len(key) != 2 or not all(0 <= as_int(part) < 2**64 for part in key):
        raise ValueError(f"key must be two integers from 0 to 2^64 - 1, not {key}")
    return n, (as_int(key[0]), as_int(key[1])), start


def uniform(n: int, key: tuple[int, int], *, start: int = 0, xp: Any, device: Any) -> Array:
    """Random numbers, uniform in [0, 1).

    Parameters
    ----------
    n : int
        How many numbers.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    start : int, default 0
        Number of the first one in the stream of this key; each takes one word.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result, as the creation functions of `xp` take it.

    Returns
    -------
    array of float64, shape (n,)
        Multiples of 2^-53: what ``numpy.random.Generator(numpy.random.Philox(key=key)).random()`` gives.

    Raises
    ------
    ValueError
        `n` or `start` is negative, or `key` is not two integers of 64 bits.
    """
    bits = random_bits(n, key, start=start, xp=xp, device=device)
    # The mask makes the arithmetic shift a logical one.
    return xp.astype((bits >> 11) & LOW53, xp.float64) * 2.0**-53


def standard_normal(n: int, key: tuple[int, int], *, start: int = 0, xp: Any, device: Any) -> Array:
    """Random numbers of a normal distribution with mean 0 and variance 1.

    Parameters
    ----------
    n : int
        How many numbers.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    start : int, default 0
        Number of the first one in the stream of this key; each takes one word.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result, as the creation functions of `xp` take it.

    Returns
    -------
    array of float64, shape (n,)
        Numbers `2 i` and `2 i + 1` are made from the words `2 i` and `2 i + 1`; none is beyond 8.6.

    Raises
    ------
    ValueError
        `n` or `start` is negative, or `key` is not two integers of 64 bits.

    Notes
    -----
    The method is that of G. E. P. Box and M. E. Muller, Ann. Math. Statist. 29 (1958) 610: unlike rejection it
    takes a fixed number of words, so each value has its place in the stream.
    """
    if n < 0:
        raise ValueError(f"n must not be negative: {n}")
    skipped = start % 2
    n_pairs = (skipped + n + 1) // 2
    pairs = xp.reshape(uniform(2 * n_pairs, key, start=start - skipped, xp=xp, device=device), (n_pairs, 2))
    # 1 - u is exact and never 0.
    radius = sqrt(log(1.0 - pairs[:, 0]) * -2.0)
    cos, sin = cos_sin_turns(pairs[:, 1])
    values = xp.stack((radius * cos, radius * sin), axis=1)
    return xp.reshape(values, (-1,))[skipped : skipped + n]


def powerlaw(
    n: int,
    key: tuple[int, int],
    *,
    index: float,
    low: float,
    high: float,
    start: int = 0,
    xp: Any,
    device: Any,
) -> Array:
    """Random energies of a power-law spectrum, dN/dE proportional to E^-index.

    Parameters
    ----------
    n : int
        How many energies.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    index : float
        Spectral index: positive for a spectrum that falls.
    low, high : float
        Ends of the spectrum, in any unit.
    start : int, default 0
        Number of the first one in the stream of this key; each takes one word.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result, as the creation functions of `xp` take it.

    Returns
    -------
    array of float64, shape (n,)
        Energies in [low, high], in the unit of `low` and `high`.

    Raises
    ------
    ValueError
        Not 0 < low < high, a value is not finite, the span or the index is extreme; `n` or `start` is negative, or
        `key` is not two integers of 64 bits.

    Notes
    -----
    The inverse of the cumulative distribution, with G = index, r = high / low and u uniform:
    E = low [1 + u (r^(1-G) - 1)]^(1/(1-G)), and E = low r^u for G = 1. Written with expm1, and near
    G = 1 with log1p, it has no cancellation there.
    """
    check_spectrum(index, low, high)
    u = uniform(n, key, start=start, xp=xp, device=device)
    return xp.clip(exp(log_powerlaw(u, index, high / low)) * low, low, high)


def log_powerlaw(u: Array, index: float, ratio: float) -> Array:
    """Logarithms of the energies of a power-law spectrum, relative to its low end.

    Parameters
    ----------
    u : array of float64, shape (n,)
        Uniform random numbers in [0, 1).
    index : float
        Spectral index.
    ratio : float
        High end of the spectrum over its low end.

    Returns
    -------
    array of float64, shape (n,)
        Logarithms, from 0 to that of `ratio`, but for rounding. See `powerlaw` for the method.
    """
    xp = array_namespace(u)
    log_ratio = log(xp.asarray([ratio], dtype=xp.float64, device=array_api_compat.device(u)))
    g = 1.0 - index
    if g == 0.0:
        return u * log_ratio
    x = u * expm1(log_ratio * g)
    return (log1p(x) if is_nearly_flat(index) else log(1.0 + x)) * (1.0 / g)


def is_nearly_flat(index: float) -> bool:
    """Whether the spectrum is so near to 1 / E that rounding 1 + x before its logarithm would cost digits of E.

    Parameters
    ----------
    index : float
        Spectral index.

    Returns
    -------
    bool
        False for most spectra: the error of the logarithm, half of the last digit of 1, is divided by 1 - index.
    """
    return abs(1.0 - index) < 0.5


def check_spectrum(index: float, low: float, high: float) -> None:
    """Check that a power law can be sampled.

    Parameters
    ----------
    index : float
        Spectral index.
    low, high : float
        Ends of the spectrum.

    Raises
    ------
    ValueError
        Not 0 < low < high, a value is not finite, or the span or the index is extreme.
    """
    if not (0.0 < low < high and math.isfinite(high) and math.isfinite(index)):
        raise ValueError(f"need 0 < low < high and finite values: index = {index}, low = {low}, high = {high}")
    log_ratio = math.log(high) - math.log(low)
    if max(1.0, abs(1.0 - index)) * log_ratio > MAX_LOG_RATIO:
        raise ValueError(f"span or index too large for float64: index = {index}, low = {low}, high = {high}")


def philox_words(n: int, key: tuple[int, int], *, start: int = 0, xp: Any, device: Any) -> Array:
    """Random words of 64 bits, with arguments that `random_bits` has checked, on any library.

    Parameters
    ----------
    n : int
        How many words.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    start : int, default 0
        Number of the first word in the stream of this key.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result, as the creation functions of `xp` take it.

    Returns
    -------
    array of int64, shape (n,)
        Words, as `random_bits` describes them.
    """
    first_block, skipped = divmod(start, WORDS_PER_BLOCK)
    n_blocks = -(-(skipped + n) // WORDS_PER_BLOCK)
    # NumPy counts before it makes a block: the counter of the first one is 1.
    words = _counters(first_block + 1, n_blocks, xp=xp, device=device)
    for i in range(ROUNDS):
        words = _round(words, tuple((part + i * step) % 2**64 for part, step in zip(key, KEY_STEPS, strict=True)))
    blocks = xp.stack([_signed(word) for word in words], axis=1)
    return xp.reshape(blocks, (-1,))[skipped : skipped + n]


def _counters(first: int, n: int, *, xp: Any, device: Any) -> tuple[Word, ...]:
    """`n` consecutive counters of 256 bits, as four words; they wrap around at 2^256."""
    carry = xp.arange(n, dtype=xp.int64, device=device)
    limbs = []
    for position in range(2 * WORDS_PER_BLOCK):
        total = carry + ((first >> (32 * position)) & LOW32)
        limbs.append(total & LOW32)
        carry = total >> 32
    return tuple(zip(limbs[::2], limbs[1::2], strict=True))


def _round(words: tuple[Word, ...], key: tuple[int, ...]) -> tuple[Word, ...]:
    """One round of the cipher, on four words."""
    low_0, high_0 = _multiply(words[0], MULTIPLIERS[0])
    low_2, high_2 = _multiply(words[2], MULTIPLIERS[1])
    return _xor(high_2, words[1], key[0]), low_2, _xor(high_0, words[3], key[1]), low_0


def _multiply(word: Word, constant: int) -> tuple[Word, Word]:
    """Low and high word of the product of a word and a constant of 64 bits.

    The constant is cut into digits of 16 bits, so that the product of a limb and a digit has 48 bits and each
    sum of a few of them stays far below 2^63.
    """
    low, high = word
    digits = [(constant >> shift) & LOW16 for shift in (0, 16, 32, 48)]
    # Column j of the schoolbook product counts 2^(16 j).
    columns = (
        (low * digits[0], low * digits[1]),
        (low * digits[2] + high * digits[0], low * digits[3] + high * digits[1]),
        (high * digits[2], high * digits[3]),
    )
    limbs = []
    carry: Any = 0
    for even, odd in columns:
        total = even + ((odd & LOW16) << 16) + carry
        limbs.append(total & LOW32)
        carry = (total >> 32) + (odd >> 16)
    return (limbs[0], limbs[1]), (limbs[2], carry)


def _xor(a: Word, b: Word, constant: int) -> Word:
    return a[0] ^ b[0] ^ (constant & LOW32), a[1] ^ b[1] ^ (constant >> 32)


def _signed(word: Word) -> Array:
    """Read the 64 bits of a word as a signed number; no step overflows."""
    low, high = word
    return (high - ((high >> 31) << 32)) * 2**32 + low
