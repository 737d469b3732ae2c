// A float as a GPU computes with it where NVRTC is told -ftz=true, as CuPy tells it: comparisons, arithmetic and
// conversions take subnormal floats for zeros of the same sign and return such zeros in their place. To load, to copy
// and to look at the bits is exact, and so are doubles, which is why the mode of the CPU that flushes would not do.
#pragma once
#include <bit>
#include <cmath>
#include <concepts>
#include <type_traits>

template <class T>
concept Number = std::is_arithmetic_v<T>;

class Flushing {
    float value;

    static float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
    float used() const { return flushed(value); }

public:
    Flushing() = default;
    Flushing(Number auto x) : value(flushed((float)x)) {}
    template <Number T>
    explicit operator T() const { return (T)used(); }

    friend Flushing operator-(Flushing a) { return -a.used(); }
    friend Flushing operator+(Flushing a, Flushing b) { return a.used() + b.used(); }
    friend Flushing operator-(Flushing a, Flushing b) { return a.used() - b.used(); }
    friend Flushing operator*(Flushing a, Flushing b) { return a.used() * b.used(); }
    friend Flushing operator/(Flushing a, Flushing b) { return a.used() / b.used(); }
    friend bool operator==(Flushing a, Flushing b) { return a.used() == b.used(); }
    friend auto operator<=>(Flushing a, Flushing b) { return a.used() <=> b.used(); }
    friend Flushing fabsf(Flushing a) { return std::fabs(a.used()); }
    // Off by up to what the CUDA programming guide allows: 2^-22 from 1/2 to 2, elsewhere 2 units in the last place.
    friend Flushing __log2f(Flushing a)
    {
        const float x = a.used(), exact = std::log2(x);
        const float unit = std::nextafter(std::fabs(exact), INFINITY) - std::fabs(exact);
        const float most = x >= 0.5f && x <= 2.0f ? 0x1p-22f : 2 * unit;
        const unsigned scrambled = std::bit_cast<unsigned>(x) * 2654435761u >> 16;
        return std::isfinite(exact) ? exact + most * ((float)scrambled / 32768.0f - 1.0f) : exact;
    }
    friend Flushing fminf(Flushing a, Flushing b) { return std::fmin(a.used(), b.used()); }
    friend Flushing fmaxf(Flushing a, Flushing b) { return std::fmax(a.used(), b.used()); }
    friend Flushing fmaf(Flushing a, Flushing b, Flushing c) { return std::fma(a.used(), b.used(), c.used()); }

    // What never flushes.
    friend double widened(Flushing a) { return (double)a.value; }
    friend int __float_as_int(Flushing a) { return std::bit_cast<int>(a.value); }
    friend unsigned __float_as_uint(Flushing a) { return std::bit_cast<unsigned>(a.value); }
    static Flushing of_bits(unsigned bits)
    {
        Flushing result;
        result.value = std::bit_cast<float>(bits);
        return result;
    }
};

static Flushing __uint_as_float(unsigned bits) { return Flushing::of_bits(bits); }
static Flushing __int_as_float(int bits) { return Flushing::of_bits((unsigned)bits); }
static double __longlong_as_double(long long bits) { return std::bit_cast<double>(bits); }
static long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
