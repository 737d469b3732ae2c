// Philox4x64-10, the counter-based generator of J. K. Salmon et al., SC'11, https://doi.org/10.1145/2063384.2063405
//
// Valid C++ too, given __umul64hi and the thread indices: the tests run it without a GPU.

typedef unsigned long long word;

// Keys of the ten rounds, two words each: as a parameter of a kernel they are operands of its instructions.
struct Keys {
    word of_round[20];
};

static __device__ __forceinline__ void philox4x64_10(word x[4], const Keys& keys)
{
#pragma unroll
    for (int i = 0; i < 10; ++i) {
        const word high0 = __umul64hi(x[0], 0xD2E7470EE14C6C93ULL);
        const word high2 = __umul64hi(x[2], 0xCA5A826395121157ULL);
        const word low0 = x[0] * 0xD2E7470EE14C6C93ULL;
        const word low2 = x[2] * 0xCA5A826395121157ULL;
        x[0] = high2 ^ x[1] ^ keys.of_round[2 * i];
        x[1] = low2;
        x[2] = high0 ^ x[3] ^ keys.of_round[2 * i + 1];
        x[3] = low0;
    }
}

template <class T>
struct alignas(16) Pair {
    T first, second;
};

// Values go to out[place] and out[place + 1], as far as these are within n; place wraps to a huge number before 0.
template <class T>
static __device__ __forceinline__ void store(T* out, word place, word n, T first, T second)
{
    // One store of 16 bytes where they are aligned: one of 8 costs L2 as much.
    if ((word)(out + place) % 16 == 0 && place < n && n - place >= 2) {
        *(Pair<T>*)(out + place) = Pair<T>{first, second};
        return;
    }
    if (place < n)
        out[place] = first;
    if (place + 1 < n)
        out[place + 1] = second;
}

// One thread per block of four words. Word `skipped` of the block with counter (c3 c2 c1 c0) goes to out[0].
extern "C" __global__ void philox_words(word* out, word n, word skipped, word c0, word c1, word c2, word c3, Keys keys)
{
    const word n_blocks = (skipped + n + 3) / 4;
    const word stride = (word)gridDim.x * blockDim.x;
    for (word block = (word)blockIdx.x * blockDim.x + threadIdx.x; block < n_blocks; block += stride) {
        word x[4] = {c0 + block, c1, c2, c3};
        for (int i = 1, carry = x[0] < block; i < 4 && carry; ++i)
            carry = ++x[i] == 0;
        philox4x64_10(x, keys);
        const word place = 4 * block - skipped;
        store(out, place, n, x[0], x[1]);
        store(out, place + 2, n, x[2], x[3]);
    }
}
