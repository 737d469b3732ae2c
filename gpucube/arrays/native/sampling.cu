// Energies and directions of background events in one launch: random words in registers, three numbers per event out.
//
// Compiled after philox.cu and after constants that sampling_cupy.py takes from gpucube/arrays/elementary.py. Each step
// is the one of that module, rounded one operation at a time: compile with --fmad=false, or the bits differ. Where fma
// is called, the product is exact, so that its result is that of a product and a sum.
//
// Cost per event: 24 bytes written and 3/4 of a Philox block for each of the three, but above all float64 arithmetic
// without fused operations. benchmarks/LOG.md counts it.

struct Shape {
    double growth;        // of 2^53 u to (E / low)^(1 - index) - 1, or to the logarithm of E / low if the index is 1
    double inverse;       // 1 / (1 - index)
    double low, high;     // ends of the spectrum
    double slope;         // of the logarithm of the width over that of the energy
    double middle_width;  // half-way between them
    double center_x, center_y;
};

// What SPECTRUM is: whether the spectral index is 1, or near it.
#define FLAT 0
#define NEARLY_FLAT 1
#define STEEP 2

#define DEVICE static __device__ __forceinline__

// Horner's rule; the constant term comes first.
template <int N>
DEVICE double polynomial(const double (&coefficients)[N], double x)
{
    double total = coefficients[N - 1];
#pragma unroll
    for (int j = N - 2; j >= 0; --j)
        total = total * x + coefficients[j];
    return total;
}

// a / b, rounded correctly, without the branches that only numbers near the ends of their range need: P. W. Markstein,
// IBM J. Res. Dev. 34 (1990) 111.
DEVICE double quotient(double a, double b)
{
#ifdef __CUDA_ARCH__
    double inverse;
    asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(inverse) : "d"(b));
    double error = fma(-b, inverse, 1.0);
    inverse = fma(inverse, fma(error, error, error), inverse);
    error = fma(-b, inverse, 1.0);
    inverse = fma(inverse, error, inverse);
    const double near = a * inverse;
    return fma(inverse, fma(-b, near, a), near);
#else
    return a / b;
#endif
}

DEVICE double from_halves(unsigned high, unsigned low)
{
    return __longlong_as_double((long long)((word)high << 32 | low));
}

DEVICE double power_of_two(int exponent) { return from_halves((unsigned)(exponent + 1023) << 20, 0); }

// x = significand * 2^exponent, exactly, with a significand from LEAST_SIGNIFICAND to twice that, for normal x > 0.
struct Split {
    int exponent;
    double significand;
};

DEVICE Split split(double x)
{
    const unsigned least = (unsigned)(__double_as_longlong(LEAST_SIGNIFICAND) >> 32);
    const word bits = __double_as_longlong(x);
    const unsigned high = (unsigned)(bits >> 32) - least;
    Split parts = {(int)high >> 20, from_halves((high & 0xfffff) + least, (unsigned)bits)};
    return parts;
}

DEVICE double logarithm(double x)
{
    const Split parts = split(x);
    const double exponent = parts.exponent;
    const double f = parts.significand - 1.0;
    const double s = quotient(f, f + 2.0), square = s * s;
    const double correction = s * (f - square * polynomial(ARTANH, square));
    return fma(exponent, LN2_HIGH, f - (correction - exponent * LN2_LOW));
}

// Nearest integer of a product that is exact or rounded before, as rint and a conversion would give it, of which a
// multiprocessor does only 16 per clock.
struct Rounded {
    double value;
    int integer;
};

DEVICE Rounded nearest(double x, double exact_factor = 1.0)
{
    const double shifted = fma(x, exact_factor, 0x1.8p52);
    Rounded rounded = {shifted - 0x1.8p52, (int)__double_as_longlong(shifted)};
    return rounded;
}

DEVICE double exponential_between(double r) { return 1.0 + (r + r * r * polynomial(EXP, r)); }

DEVICE double exponential(double y)
{
    const Rounded exponent = nearest(y * INVERSE_LN2);
    const double r = fma(-exponent.value, LN2_HIGH, y) - exponent.value * LN2_LOW;
    return exponential_between(r) * power_of_two(exponent.integer);
}

DEVICE double square_root(double x)
{
    const Split parts = split(x);
    const bool odd = parts.exponent & 1;
    double inverse = polynomial(INVERSE_SQRT, parts.significand - 1.0);
    inverse = inverse * (1.5 - parts.significand * 0.5 * inverse * inverse);
    inverse = inverse * (odd ? SQRT_HALF : 1.0);
    const double square = parts.significand * (odd ? 2.0 : 1.0);
    double root = square * inverse;
    root = root + (square - root * root) * (inverse * 0.5);
    return x == 0.0 ? 0.0 : root * power_of_two(parts.exponent >> 1);
}

// Of turns * 2^-53 full circles.
DEVICE void cos_sin_turns(double turns, double& cos, double& sin)
{
    const Rounded quarter = nearest(turns, 0x1p-51);
    const double angle = fma(turns, 0x1p-51, -quarter.value) * HALF_PI;
    const double square = angle * angle;
    const double c = 1.0 + square * polynomial(COS, square);
    const double s = angle + angle * (square * polynomial(SIN, square));
    const int q = quarter.integer;
    cos = q & 1 ? s : c;
    sin = q & 1 ? c : s;
    cos = q == 1 || q == 2 ? -cos : cos;
    sin = q == 2 || q == 3 ? -sin : sin;
}

// 2^53 times a uniform number.
DEVICE double uniform(word bits) { return (double)(bits >> 11); }

// Logarithm of E / low.
DEVICE double log_powerlaw(double x, const Shape& shape)
{
#if SPECTRUM == FLAT
    return x;
#elif SPECTRUM == NEARLY_FLAT
    const double w = 1.0 + x, rounded = w - 1.0;
    return (rounded == 0.0 ? x : logarithm(w) * quotient(x, rounded)) * shape.inverse;
#else
    return logarithm(1.0 + x) * shape.inverse;
#endif
}

// Energy of a power law, and the width of the field of view there.
DEVICE void powerlaw(double u, const Shape& shape, double& energy, double& width)
{
    const double log_energy = log_powerlaw(u * shape.growth, shape);
    energy = exponential(log_energy) * shape.low;
    energy = energy < shape.low ? shape.low : energy;
    energy = energy > shape.high ? shape.high : energy;
    width = exponential_between(log_energy * shape.slope - HALF_LN2) * shape.middle_width;
}

// Words 2 i and 2 i + 1 make the coordinates of events 2 i and 2 i + 1.
DEVICE void directions(double* out, word place, word n, const word* words, const double* widths, double center)
{
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
        double cos, sin;
        const double radius = square_root(logarithm(fma(uniform(words[i]), -0x1p-53, 1.0)) * -2.0);
        cos_sin_turns(uniform(words[i + 1]), cos, sin);
        store(out, place + i, n, radius * cos * widths[i] + center, radius * sin * widths[i + 1] + center);
    }
}

// One thread per four events, whose words are one block in each of the three sections; first_* are the counters of
// the first blocks, and event `skipped` of the first four goes to out[0]. Four events are computed together, so that
// constants, which take an instruction each to load, are loaded once for all of them; that takes 96 registers.
extern "C" __global__ void __launch_bounds__(128, 5)
    background_events(double* energy, double* dety, double* detx, word n, word skipped, word first_energy,
                      word first_detx, word first_dety, Keys keys, Shape shape)
{
    const word n_blocks = (skipped + n + 3) / 4;
    const word stride = (word)gridDim.x * blockDim.x;
    for (word block = (word)blockIdx.x * blockDim.x + threadIdx.x; block < n_blocks; block += stride) {
        word e[4] = {first_energy + block, 0, 0, 0}, x[4] = {first_detx + block, 0, 0, 0},
             y[4] = {first_dety + block, 0, 0, 0};
        philox4x64_10(e, keys);
        philox4x64_10(x, keys);
        philox4x64_10(y, keys);
        double energies[4], widths[4];
#pragma unroll
        for (int j = 0; j < 4; ++j)
            powerlaw(uniform(e[j]), shape, energies[j], widths[j]);
        const word place = 4 * block - skipped;
        store(energy, place, n, energies[0], energies[1]);
        store(energy, place + 2, n, energies[2], energies[3]);
        directions(detx, place, n, x, widths, shape.center_x);
        directions(dety, place, n, y, widths, shape.center_y);
    }
}
