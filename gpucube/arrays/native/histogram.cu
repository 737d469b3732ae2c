// Count events in the bins of a cube: coordinates in, counts out, nothing written in between.
//
// Compiled by NVRTC with -DAXES=<number of axes> and -DVALUE=<float or double>; the tests also compile it as
// C++ and run it on the CPU. VALUE is the type in which coordinates are compared with edges: double as soon
// as one axis is double. Thresholds (see below) make the comparison exact in either type.
//
// CuPy appends -ftz=true to the options of NVRTC, which no option of ours undoes: operations on floats, comparisons
// and conversions among them, take subnormal floats for zeros and return zeros for them. Loads, copies, integers and
// doubles are exact. So values are compared with edges by their ranks (see below), which are integers; the guess of
// a bin may flush, because that too preserves order.
//
// Cost per event with three float axes: 12 bytes read, once and streaming, and one atomic. A GPU that reads
// 4 TB/s needs 3 ms for 1e9 events, so the atomics must not need more:
//   - the cube of 20 x 60 x 60 bins would take 562 KiB as 64-bit counters: those live in L2, which does
//     of the order of 1e11 atomics per second at best, fewer where events crowd into a few bins;
//   - it takes 281 KiB as 32-bit counters, more than the 227 KiB of shared memory that a block of an H100 gets;
//   - it takes 141 KiB as 16-bit counters, which fit. Shared atomics of all multiprocessors together are about
//     ten times faster than L2, and crowded bins hurt one multiprocessor's copy only. Counters that reach 2^15
//     empty themselves into L2; at the end each block adds its cube to L2: 132 x 72000 = 1e7 atomics, 1 % of 1e9.
// Hence three ways to count: words (32 bits, several copies of small cubes), halves (16 bits) and plain L2 atomics
// for what does not fit or has too few events to be worth a cube per block. Merging equal bins within a
// warp is left out: with 7700 bins in effect (1 / sum p^2 of a typical field of view), two of 32 threads meet in
// 6 % of the warps, and finding out costs each warp more than the meeting.

#ifndef AXES
#define AXES 3
#endif
#ifndef VALUE
#define VALUE float
#endif
// Events per thread whose loads are in flight together: 32 bytes of each axis.
#define UNROLL (32 / (int)sizeof(VALUE))

#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__

typedef long long int64;
typedef unsigned long long counts;

enum Kind { LINEAR, LOG, SEARCH };

// All fields have 8 bytes, so that NumPy's struct has the same layout.
struct Axis {
    const void* values;   // coordinates, float or double
    int64 stride;         // between them, in elements
    int64 wide;           // whether they are double
    const double* edges;  // bins + 1 of them
    int64 bins;
};

struct Axes {
    Axis axis[AXES];
};

// How to find bins along an axis, where bin 0 is below all edges: rint(scale * f(x) + offset) is right
// wherever its argument is nearer than limit to an integer, with f(x) = x or log2(x).
struct Finder {
    float scale, offset, limit;
    int kind;
};

extern __shared__ unsigned shared[];

#ifdef __CUDACC__  // on the CPU the tests bring their own
// The conversion that C++ would do, in an instruction that never flushes.
DEVICE double widened(float x)
{
    double wide;
    asm("cvt.f64.f32 %0, %1;" : "=d"(wide) : "f"(x));
    return wide;
}
#endif

template <class Value>
struct Bits;

template <>
struct Bits<float> {
    typedef int Integer;
    static DEVICE_MEMBER int of(float x) { return __float_as_int(x); }
    static DEVICE_MEMBER float number(int bits) { return __int_as_float(bits); }
};

template <>
struct Bits<double> {
    typedef int64 Integer;
    static DEVICE_MEMBER int64 of(double x) { return __double_as_longlong(x); }
    static DEVICE_MEMBER double number(int64 bits) { return __longlong_as_double(bits); }
};

typedef Bits<VALUE>::Integer Rank;

// Sign and magnitude to two's complement, and back.
DEVICE Rank complement(Rank bits)
{
    const Rank lowest = (Rank)(1ull << (8 * sizeof(Rank) - 1));
    return bits < 0 ? lowest - bits : bits;
}

// All VALUEs in order: 0 for both zeros, 1 for the smallest above, and so on to infinity and NaN, right above it.
DEVICE Rank rank(VALUE x) { return complement(Bits<VALUE>::of(x)); }
DEVICE VALUE number(Rank place) { return Bits<VALUE>::number(complement(place)); }

// Rank of the smallest VALUE that is not below an edge, or above the last edge, whose bin is closed.
DEVICE Rank threshold(double edge, bool last)
{
    if (sizeof(VALUE) == 8)
        return rank((VALUE)edge) + last;
    if (fabs(edge) < 1.1754943508222875e-38) {  // below 2^-126 a conversion would flush; ranks are steps of 2^-149
        const double steps = edge / 1.401298464324817e-45;
        return (Rank)ceil(steps) + (last && ceil(steps) == steps);
    }
    const float rounded = (float)edge;
    const double at = widened(rounded);
    return rank((VALUE)rounded) + (at < edge || (last && at == edge));
}

DEVICE float scaled(VALUE x, int kind) { return kind == LOG ? __log2f((float)x) : (float)x; }

DEVICE float position(VALUE x, const Finder& finder)
{
    return fmaf(scaled(x, finder.kind), finder.scale, finder.offset);
}

DEVICE Finder fit(const Rank* thresholds, int64 bins, int kind)
{
    const float first = scaled(number(thresholds[0]), kind), last = scaled(number(thresholds[bins]), kind);
    const float scale = (float)bins / (last - first);
    // Explicit fmaf, here and in position, so that every compilation of these lines rounds alike.
    Finder finder = {scale, fmaf(-first, scale, 0.5f), 0.0f, kind};
    return finder;
}

// How far from its half-integer the position of a threshold is, or of the largest value below it. Conversion,
// multiplication and addition preserve order, and so does flushing: positions further from a half-integer than the
// worst of these are on the right side of it. __log2f, which takes 2 instructions where log2f takes 25, has errors of 2
// units in the last place, or 2^-22 from 1/2 to 2; 32 times that are allowed for.
DEVICE float misfit(const Rank* thresholds, int64 bins, int64 i, const Finder& finder)
{
    const float at = position(number(thresholds[i]), finder) - ((float)i + 0.5f);
    const float below = position(number(thresholds[i] - 1), finder) - ((float)i + 0.5f);
    float slack = 0.0f;
    if (finder.kind == LOG) {
        const float first = fabsf(scaled(number(thresholds[0]), LOG));
        const float last = fabsf(scaled(number(thresholds[bins]), LOG));
        slack = 64 * 1.2e-7f * finder.scale * fmaxf(1.0f, fmaxf(first, last));
    }
    return (fabsf(at) > fabsf(below) ? fabsf(at) : fabsf(below)) + slack + 0.0f * (at + below);  // NaN if one is
}

// One block per axis; shared memory for two words.
extern "C" __global__ void prepare(Axes axes, Finder* finders, Rank* thresholds)
{
    for (unsigned a = 0; a < blockIdx.x; ++a)
        thresholds += axes.axis[a].bins + 1;
    const Axis axis = axes.axis[blockIdx.x];
    for (int64 i = threadIdx.x; i <= axis.bins; i += blockDim.x)
        thresholds[i] = threshold(axis.edges[i], i == axis.bins);
    if (threadIdx.x == 0)
        shared[LINEAR] = shared[LOG] = 0;
    __syncthreads();
    for (int kind = LINEAR; kind <= LOG; ++kind) {
        const Finder finder = fit(thresholds, axis.bins, kind);
        for (int64 i = threadIdx.x; i <= axis.bins; i += blockDim.x)
            // Bits of non-negative floats sort like the floats, and NaN above all.
            atomicMax(&shared[kind], __float_as_uint(fabsf(misfit(thresholds, axis.bins, i, finder))));
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        int kind = LINEAR;
        // Worse guesses are not worth their repairs; false for NaN. See find for the number of bins.
        while (kind < SEARCH && !(__uint_as_float(shared[kind]) < 1.0f / 128 && axis.bins < (1 << 22) - 1))
            ++kind;
        Finder finder = {0.0f, 0.0f, 0.0f, SEARCH};
        if (kind < SEARCH) {
            finder = fit(thresholds, axis.bins, kind);
            finder.limit = 0.5f - __uint_as_float(shared[kind]) - 1e-7f;
        }
        finders[blockIdx.x] = finder;
    }
}

// Number of thresholds not above x: 0 for NaN. Even axes come here for values close to an edge only, so
// thresholds stay in L1.
DEVICE int search(VALUE x, const Rank* thresholds, int bins)
{
    const Rank own = rank(x);
    int low = 0, high = x == x ? bins + 1 : 0;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (own >= thresholds[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

DEVICE int find(VALUE x, const Finder& finder, const Rank* thresholds, int bins)
{
    if (finder.kind != SEARCH) {
        const float place = fminf(fmaxf(position(x, finder), 0.0f), (float)(bins + 1));  // fmaxf(NaN, 0) is 0
        // Rounds as rintf and puts the integer into the lowest bits, without the two conversions, of which a
        // multiprocessor does only 16 per clock. Right below 2^22: axes with that many bins are searched.
        const float shifted = place + 12582912.0f;
        if (fabsf(place - (shifted - 12582912.0f)) < finder.limit)
            return (int)(__float_as_uint(shifted) - 0x4b400000u);
    }
    return search(x, thresholds, bins);
}

DEVICE VALUE load(const Axis& axis, int64 place)
{
    // Streaming loads leave L2 to the cube.
    if (sizeof(VALUE) == 8 && !axis.wide)
        return (VALUE)widened(__ldcs((const float*)axis.values + place));
    return __ldcs((const VALUE*)axis.values + place);
}

template <class Counter>
DEVICE void count(const Axes& axes, int64 n_events, const Finder* finders, const Rank* thresholds, Counter& counter)
{
    Finder finder[AXES];
    const Rank* own[AXES];
#pragma unroll
    for (int a = 0; a < AXES; ++a) {
        finder[a] = finders[a];
        own[a] = thresholds;
        thresholds += axes.axis[a].bins + 1;
    }
    const int tile = blockDim.x * UNROLL;
    unsigned round = 0;
    for (int64 first = blockIdx.x * (int64)tile; first < n_events; first += gridDim.x * (int64)tile) {
        const int here = n_events - first < tile ? (int)(n_events - first) : tile;
        VALUE x[UNROLL][AXES];
#pragma unroll
        for (int a = 0; a < AXES; ++a) {
            const int64 stride = axes.axis[a].stride, place = (first + threadIdx.x) * stride;
#pragma unroll
            for (int u = 0; u < UNROLL; ++u)
                x[u][a] = (int)(threadIdx.x + u * blockDim.x) < here
                              ? load(axes.axis[a], place + u * blockDim.x * stride) : (VALUE)0.0f;
        }
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            typename Counter::Cell cell = 0;
            bool inside = (int)(threadIdx.x + u * blockDim.x) < here;
#pragma unroll
            for (int a = 0; a < AXES; ++a) {
                const int bins = (int)axes.axis[a].bins;
                const int bin = find(x[u][a], finder[a], own[a], bins) - 1;
                inside = inside && (unsigned)bin < (unsigned)bins;
                cell = cell * bins + bin;
            }
            if (inside)
                counter.add(cell);
        }
        counter.settle(++round);  // all threads of the block get here equally often
    }
}

// 64-bit counters in global memory.
struct Direct {
    typedef int64 Cell;
    counts* cube;

    DEVICE_MEMBER void add(int64 cell) { atomicAdd(cube + cell, (counts)1); }
    DEVICE_MEMBER void settle(unsigned) {}
};

// 32-bit counters in shared memory; neighbouring threads take turns with the copies, a power of two. A block would
// have to count 2^32 events to overflow: 5e11 on 132 multiprocessors, more than any device holds.
struct Words {
    typedef int Cell;
    int copies;

    DEVICE_MEMBER void add(int cell) { atomicAdd(shared + cell * copies + (threadIdx.x & (copies - 1)), 1u); }
    DEVICE_MEMBER void settle(unsigned) {}
    DEVICE_MEMBER counts take(int cell) const
    {
        counts sum = 0;
        for (int copy = 0; copy < copies; ++copy)
            sum += shared[cell * copies + copy];
        return sum;
    }
};

// 16-bit counters in shared memory. Cell c shares a word with cell c + n_words: with energies going slowest, a crowded
// one with an empty one. The thread that brings a counter to 2^15 takes that much out of it. It may be late, but
// not past the next barrier, and between barriers a block counts at most 2^15 events: the counter stays below 2^16.
struct Halves {
    typedef int Cell;
    counts* cube;
    int n_words;

    DEVICE_MEMBER void add(int cell)
    {
        const int word = cell < n_words ? cell : cell - n_words;
        const int shift = cell < n_words ? 0 : 16;
        const unsigned before = atomicAdd(shared + word, 1u << shift);
        if (((before >> shift) & 0xffffu) == 0x7fffu) {
            atomicSub(shared + word, 0x8000u << shift);
            atomicAdd(cube + cell, (counts)0x8000);
        }
    }
    DEVICE_MEMBER void settle(unsigned round)
    {
        // 1024 threads x UNROLL events x this many rounds are at most 2^15.
        const unsigned rounds = 32 / UNROLL;
        if (round % rounds == 0)
            __syncthreads();
    }
    DEVICE_MEMBER counts take(int cell) const
    {
        return cell < n_words ? shared[cell] & 0xffffu : shared[cell - n_words] >> 16;
    }
};

template <class Counter>
DEVICE void count_shared(const Axes& axes, int64 n_events, const Finder* finders, const Rank* thresholds, counts* cube,
                         int cells, int n_words, Counter counter)
{
    for (int i = threadIdx.x; i < n_words; i += blockDim.x)
        shared[i] = 0;
    __syncthreads();
    count(axes, n_events, finders, thresholds, counter);
    __syncthreads();
    for (int cell = threadIdx.x; cell < cells; cell += blockDim.x)
        if (const counts n = counter.take(cell))
            atomicAdd(cube + cell, n);
}

extern "C" __global__ void __launch_bounds__(256)
    count_direct(Axes axes, int64 n_events, const Finder* finders, const Rank* thresholds, counts* cube)
{
    Direct counter = {cube};
    count(axes, n_events, finders, thresholds, counter);
}

extern "C" __global__ void __launch_bounds__(1024)
    count_words(Axes axes, int64 n_events, const Finder* finders, const Rank* thresholds, counts* cube, int cells,
                int copies)
{
    Words counter = {copies};
    count_shared(axes, n_events, finders, thresholds, cube, cells, cells * copies, counter);
}

extern "C" __global__ void __launch_bounds__(1024)
    count_halves(Axes axes, int64 n_events, const Finder* finders, const Rank* thresholds, counts* cube, int cells)
{
    const int n_words = (cells + 1) / 2;
    Halves counter = {cube, n_words};
    count_shared(axes, n_events, finders, thresholds, cube, cells, n_words, counter);
}
