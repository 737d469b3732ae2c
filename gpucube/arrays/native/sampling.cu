// Energies and directions of background events in one launch: random words in registers, three numbers per event out.
//
// Compiled after philox.cu and after constants that sampling_cupy.py takes from gpucube/arrays/elementary.py. Each step
// is the one of that module, rounded one operation at a time: compile with --fmad=false, or the bits differ.
//
// Cost per event: 24 bytes written and 3/4 of a Philox block for each of the three, but above all float64 arithmetic
// without fused operations. benchmarks/LOG.md counts it.

struct Shape {
    double flat;         // whether the spectral index is 1
    double growth;       // log(high / low) if it is, else (high / low)^(1 - index) - 1
    double inverse;      // 1 / (1 - index)
    double low, high;    // ends of the spectrum
    double inverse_low;  // 1 / low
    double slope;        // of the logarithm of the width over that of the energy
    double half_sigma;   // width at low
    double center_x, center_y;
};

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

DEVICE double power_of_two(int exponent) { return __longlong_as_double((long long)(exponent + 1023) << 52); }

// x = significand * 2^exponent, exactly, with a significand from sqrt(1/2) to sqrt(2), for normal x > 0.
struct Split {
    int exponent;
    double significand;
};

DEVICE Split split(double x)
{
    const long long bits = __double_as_longlong(x), mantissa = bits & 0xfffffffffffffLL;
    const int upper = mantissa >= (__double_as_longlong(SQRT_HALF) & 0xfffffffffffffLL);
    Split parts = {(int)(bits >> 52) - 1023 + upper, __longlong_as_double(mantissa | ((long long)(1023 - upper) << 52))};
    return parts;
}

DEVICE double logarithm(double x)
{
    const Split parts = split(x);
    const double exponent = parts.exponent;
    const double f = parts.significand - 1.0;
    const double s = f / (f + 2.0);
    const double correction = s * (f - polynomial(ARTANH, s * s));
    return exponent * LN2_HIGH + (f - (correction - exponent * LN2_LOW));
}

DEVICE double exponential(double y)
{
    const double exponent = rint(y * INVERSE_LN2);
    const double r = (y - exponent * LN2_HIGH) - exponent * LN2_LOW;
    return (1.0 + (r + r * r * polynomial(EXP, r))) * power_of_two((int)exponent);
}

DEVICE double logarithm_of_1_plus(double x)
{
    const double w = 1.0 + x, rounded = w - 1.0;
    return rounded == 0.0 ? x : logarithm(w) * (x / rounded);
}

DEVICE double square_root(double x)
{
    if (x == 0.0)
        return 0.0;
    const Split parts = split(x);
    const double square = parts.significand * (1 + (parts.exponent & 1));
    double root = (1.0 + square) * 0.5;
#pragma unroll
    for (int i = 0; i < 4; ++i)
        root = (root + square / root) * 0.5;
    return root * power_of_two(parts.exponent >> 1);
}

DEVICE void cos_sin_turns(double turns, double& cos, double& sin)
{
    const double quarter = rint(turns * 4.0);
    const double angle = (turns - quarter * 0.25) * TAU;
    const double square = angle * angle;
    const double c = 1.0 + square * polynomial(COS, square);
    const double s = angle + angle * (square * polynomial(SIN, square));
    const int q = (int)quarter;
    cos = q & 1 ? s : c;
    sin = q & 1 ? c : s;
    cos = q == 1 || q == 2 ? -cos : cos;
    sin = q == 2 || q == 3 ? -sin : sin;
}

DEVICE double uniform(word bits) { return (double)(bits >> 11) * 0x1p-53; }

DEVICE double powerlaw(double u, const Shape& shape)
{
    const double x = u * shape.growth;
    const double energy = exponential(shape.flat ? x : logarithm_of_1_plus(x) * shape.inverse) * shape.low;
    return energy < shape.low ? shape.low : energy > shape.high ? shape.high : energy;
}

DEVICE double width(double energy, const Shape& shape)
{
    return exponential(logarithm(energy * shape.inverse_low) * shape.slope) * shape.half_sigma;
}

// Words 2 i and 2 i + 1 make the normal numbers 2 i and 2 i + 1.
DEVICE void normal_pair(word first, word second, double* values)
{
    double cos, sin;
    const double radius = square_root(logarithm(1.0 - uniform(first)) * -2.0);
    cos_sin_turns(uniform(second), cos, sin);
    values[0] = radius * cos;
    values[1] = radius * sin;
}

// Values 0 .. 3 go to out[place .. place + 3], as far as that is within n; place wraps to a huge number before 0.
DEVICE void store(double* out, word place, word n, const double* values)
{
    if (place % 2 == 0 && place < n && n - place >= 4) {
        *(double2*)(out + place) = make_double2(values[0], values[1]);
        *(double2*)(out + place + 2) = make_double2(values[2], values[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
        if (place + i < n)
            out[place + i] = values[i];
}

DEVICE void directions(double* out, word place, word n, word counter, word key0, word key1, const double* widths,
                       double center)
{
    word x[4] = {counter, 0, 0, 0};
    philox4x64_10(x, key0, key1);
    double values[4];
    normal_pair(x[0], x[1], values);
    normal_pair(x[2], x[3], values + 2);
#pragma unroll
    for (int i = 0; i < 4; ++i)
        values[i] = values[i] * widths[i] + center;
    store(out, place, n, values);
}

// One thread per four events, whose words are one block in each of the three sections; first_* are the counters of
// the first blocks, and event `skipped` of the first four goes to out[0].
extern "C" __global__ void __launch_bounds__(256)
    background_events(double* energy, double* dety, double* detx, word n, word skipped, word first_energy,
                      word first_detx, word first_dety, word key0, word key1, Shape shape)
{
    const word n_blocks = (skipped + n + 3) / 4;
    const word stride = (word)gridDim.x * blockDim.x;
    for (word block = (word)blockIdx.x * blockDim.x + threadIdx.x; block < n_blocks; block += stride) {
        const word place = 4 * block - skipped;
        word x[4] = {first_energy + block, 0, 0, 0};
        philox4x64_10(x, key0, key1);
        double energies[4], widths[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            energies[i] = powerlaw(uniform(x[i]), shape);
            widths[i] = width(energies[i], shape);
        }
        store(energy, place, n, energies);
        directions(detx, place, n, first_detx + block, key0, key1, widths, shape.center_x);
        directions(dety, place, n, first_dety + block, key0, key1, widths, shape.center_y);
    }
}
