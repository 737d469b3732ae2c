// Philox4x64-10, the counter-based generator of J. K. Salmon et al., SC'11, https://doi.org/10.1145/2063384.2063405
//
// Valid C++ too, given __umul64hi and the thread indices: the tests run it without a GPU.

typedef unsigned long long word;

static __device__ __forceinline__ void philox4x64_10(word x[4], word key0, word key1)
{
    for (int i = 0; i < 10; ++i) {
        const word high0 = __umul64hi(x[0], 0xD2E7470EE14C6C93ULL);
        const word high2 = __umul64hi(x[2], 0xCA5A826395121157ULL);
        const word low0 = x[0] * 0xD2E7470EE14C6C93ULL;
        const word low2 = x[2] * 0xCA5A826395121157ULL;
        x[0] = high2 ^ x[1] ^ key0;
        x[1] = low2;
        x[2] = high0 ^ x[3] ^ key1;
        x[3] = low0;
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
}

// One thread per block of four words. Word `skipped` of the block with counter (c3 c2 c1 c0) goes to out[0].
extern "C" __global__ void philox_words(word* out, word n, word skipped, word c0, word c1, word c2, word c3,
                                        word key0, word key1)
{
    const word n_blocks = (skipped + n + 3) / 4;
    const word stride = (word)gridDim.x * blockDim.x;
    for (word block = (word)blockIdx.x * blockDim.x + threadIdx.x; block < n_blocks; block += stride) {
        word x[4] = {c0 + block, c1, c2, c3};
        for (int i = 1, carry = x[0] < block; i < 4 && carry; ++i)
            carry = ++x[i] == 0;
        philox4x64_10(x, key0, key1);
        for (int i = 0; i < 4; ++i) {
            const word place = 4 * block + i - skipped;  // wraps to a huge number before the first word
            if (place < n)
                out[place] = x[i];
        }
    }
}
