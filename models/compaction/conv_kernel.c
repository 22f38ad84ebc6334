/* A convolutional network in eval mode on the CPU (float32): convolutions that read only the channels they use, with bias,
 * sum and ReLU in the same pass over memory, and max-pooling. Compiled by optim/kernels/compiler.py, called by models/compaction/runner.py.
 *
 * Maps are stored pixel by pixel (NHWC), `*_ld` numbers from one pixel to the next. A convolution is a matrix product: a tile
 * of ROWS output pixels by 1 to 3 vectors of output channels stays in registers while the kernel's taps and the input channels
 * are summed up. An input channel is found through `index`, so that reading some of the channels costs no copy and no more
 * than reading all: that is what makes removed channels free.
 */
#include <stdint.h>

#if defined(__AVX512F__)
#define LANES 16
#define ROWS 8
#elif defined(__ARM_NEON)
#define LANES 4
#define ROWS 8
#else
#define LANES 8
#define ROWS 4
#endif
#define MOST_VECTORS 3
#define BLOCK_NUMBERS 98304 /* of the input, per block of pixels: what fits into a core's second-level cache with the weights */
#define MOST_BLOCK_TILES 32
#define LEAST_BLOCK_TILES 4
#define TASKS_PER_THREAD 3
#define LONGEST_SUM 256

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t mask __attribute__((vector_size(LANES * 4)));
typedef vec memory __attribute__((aligned(4), may_alias));

enum { CONVOLUTION, MAX_POOL, TO_PIXELS };

/* One step of the network. Pixel (n, y, x) of the source lies at src + ((n * h + y) * w + x) * src_ld. */
typedef struct {
    const float *src, *add; /* add: what is added before the ReLU, or NULL; may be dst */
    const float *weight;    /* per group of vectors: (taps, channels, LANES * vectors) */
    const float *bias;      /* (vectors of all output channels) */
    const int32_t *index;   /* (channels,): which channels of the source are read */
    const int32_t *offset;  /* (taps * channels,): the same for all taps of a kernel that lies within the map */
    float *dst;
    int64_t kind, src_ld, h, w, dst_ld, out_h, out_w, add_ld, channels, outputs, kernel, stride, padding, dilation, relu;
} Step;

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* sum[i][j] += sum over k of row[i][index[k]] * weight[k][j], in registers. At most LONGEST_SUM products are summed up by
 * themselves: one sum of thousands would lose a digit to rounding that torch's convolution keeps. */
#define PRODUCT(N, EACH)                                                                                                   \
    static __attribute__((noinline)) void product##N(vec (*sum)[N], const float *const *row, const int32_t *index,         \
                                                     const float *weight, int64_t count)                                  \
    {                                                                                                                      \
        enum { B = N > 1 ? 1 : 0, C = N > 2 ? 2 : 0 };                                                                     \
        EACH(LOAD)                                                                                                         \
        for (int64_t k = 0; k < count;) {                                                                                  \
            const int64_t end = smaller(k + LONGEST_SUM, count);                                                           \
            EACH(CLEAR)                                                                                                    \
            for (; k < end; k++, weight += N * LANES) {                                                                    \
                const int64_t o = index[k];                                                                                \
                const vec wa = *(const memory *)weight, wb = *(const memory *)(weight + B * LANES),                        \
                          wc = *(const memory *)(weight + C * LANES);                                                      \
                EACH(MULTIPLY)                                                                                             \
            }                                                                                                              \
            EACH(ADD)                                                                                                      \
        }                                                                                                                  \
    }
#define LOAD(i)                                                                                                            \
    const float *row##i = row[i];                                                                                          \
    vec a##i, b##i, c##i;
#define CLEAR(i) a##i = b##i = c##i = (vec){0};
#define MULTIPLY(i)                                                                                                        \
    {                                                                                                                      \
        const float x = row##i[o];                                                                                         \
        a##i += x * wa;                                                                                                    \
        if (B) b##i += x * wb;                                                                                             \
        if (C) c##i += x * wc;                                                                                             \
    }
#define ADD(i)                                                                                                             \
    sum[i][0] += a##i;                                                                                                     \
    if (B) sum[i][B] += b##i;                                                                                              \
    if (C) sum[i][C] += c##i;
#if ROWS == 8
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#else
#define EACH_ROW(X) X(0) X(1) X(2) X(3)
#endif
PRODUCT(1, EACH_ROW)
PRODUCT(2, EACH_ROW)
PRODUCT(3, EACH_ROW)

static void product(int vectors, vec *sum, const float *const *row, const int32_t *index, const float *weight, int64_t count)
{
    if (vectors == 1) product1((vec(*)[1])sum, row, index, weight, count);
    else if (vectors == 2) product2((vec(*)[2])sum, row, index, weight, count);
    else product3((vec(*)[3])sum, row, index, weight, count);
}

/* Output pixels first .. first + rows - 1, output channels from vector `from` on. `zeros` stands for pixels beyond the border. */
static void tile(const Step *s, int64_t first, int rows, int64_t from, int vectors, const float *zeros)
{
    const int64_t area = s->out_h * s->out_w, taps = s->kernel * s->kernel, reach = (s->kernel - 1) * s->dilation;
    const float *weight = s->weight + from * LANES * taps * s->channels, *bias = s->bias + from * LANES;
    const int64_t valid = smaller(s->dst_ld - from * LANES, vectors * LANES);
    vec sum[ROWS * MOST_VECTORS];
    const float *image[ROWS], *row[ROWS];
    int64_t y[ROWS], x[ROWS];
    int inside = 1;
    for (int i = 0; i < ROWS; i++) {
        const int64_t pixel = first + smaller(i, rows - 1), p = pixel % area;
        image[i] = s->src + pixel / area * s->h * s->w * s->src_ld;
        y[i] = p / s->out_w * s->stride - s->padding;
        x[i] = p % s->out_w * s->stride - s->padding;
        inside &= y[i] >= 0 && x[i] >= 0 && y[i] + reach < s->h && x[i] + reach < s->w;
        for (int j = 0; j < vectors; j++) sum[i * vectors + j] = ((const memory *)bias)[j];
        if (s->add && i < rows) /* it arrives from memory while the sums are formed */
            for (int j = 0; j < vectors * LANES; j += 16) __builtin_prefetch(s->add + pixel * s->add_ld + from * LANES + j, 1);
    }
    if (inside) {
        for (int i = 0; i < ROWS; i++) row[i] = image[i] + (y[i] * s->w + x[i]) * s->src_ld;
        product(vectors, sum, row, s->offset, weight, taps * s->channels);
    } else {
        for (int64_t tap = 0; tap < taps; tap++) {
            const int64_t dy = tap / s->kernel * s->dilation, dx = tap % s->kernel * s->dilation;
            int any = 0;
            for (int i = 0; i < ROWS; i++) {
                const int64_t yy = y[i] + dy, xx = x[i] + dx;
                const int in = yy >= 0 && xx >= 0 && yy < s->h && xx < s->w;
                row[i] = in ? image[i] + (yy * s->w + xx) * s->src_ld : zeros;
                any |= in;
            }
            if (any) product(vectors, sum, row, s->index, weight + tap * s->channels * vectors * LANES, s->channels);
        }
    }
    for (int i = 0; i < rows; i++) {
        float *out = s->dst + (first + i) * s->dst_ld + from * LANES;
        const float *add = s->add ? s->add + (first + i) * s->add_ld + from * LANES : 0;
        for (int j = 0; j < vectors; j++) {
            vec v = sum[i * vectors + j];
            const int64_t left = smaller(valid - j * LANES, LANES);
            if (left == LANES) {
                if (add) v += ((const memory *)add)[j];
                if (s->relu) v = (vec)((mask)v & ~(v <= 0)); /* NaN stays NaN */
                ((memory *)out)[j] = v;
            } else {
                for (int64_t l = 0; l < left; l++) {
                    const float value = v[l] + (add ? add[j * LANES + l] : 0);
                    out[j * LANES + l] = s->relu && value <= 0 ? 0 : value;
                }
            }
        }
    }
}

static void convolution(const Step *s, int64_t pixels, int threads, const float *zeros)
{
    const int64_t vectors = (s->outputs + LANES - 1) / LANES, tiles = (vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    int64_t block = BLOCK_NUMBERS / (s->channels + 1) / ROWS;
    block = ROWS * (block < LEAST_BLOCK_TILES ? LEAST_BLOCK_TILES : smaller(block, MOST_BLOCK_TILES));
    const int64_t blocks = (pixels + block - 1) / block;
    int64_t parts = 1; /* of the output channels, where there are few pixels */
    while (blocks * parts < TASKS_PER_THREAD * threads && parts < tiles) parts++;
#ifdef _OPENMP
#pragma omp for schedule(dynamic, 1)
#endif
    for (int64_t task = 0; task < blocks * parts; task++) {
        const int64_t start = task / parts * block, end = smaller(start + block, pixels), part = task % parts;
        for (int64_t t = tiles * part / parts; t < tiles * (part + 1) / parts; t++) {
            const int64_t from = vectors * t / tiles, to = vectors * (t + 1) / tiles;
            for (int64_t p = start; p < end; p += ROWS) tile(s, p, smaller(end - p, ROWS), from, to - from, zeros);
        }
    }
}

static void max_pool(const Step *s, int64_t pixels)
{
    const int64_t area = s->out_h * s->out_w;
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const int64_t p = pixel % area, y0 = p / s->out_w * s->stride - s->padding, x0 = p % s->out_w * s->stride - s->padding;
        const float *image = s->src + pixel / area * s->h * s->w * s->src_ld;
        for (int64_t c = 0; c < s->dst_ld; c += LANES) {
            vec best = (vec){0} - __builtin_inff();
            for (int64_t y = y0 < 0 ? 0 : y0; y < smaller(y0 + s->kernel, s->h); y++)
                for (int64_t x = x0 < 0 ? 0 : x0; x < smaller(x0 + s->kernel, s->w); x++) {
                    const vec v = *(const memory *)(image + (y * s->w + x) * s->src_ld + c);
                    const mask better = (v > best) | (v != v);
                    best = (vec)(((mask)v & better) | ((mask)best & ~better));
                }
            *(memory *)(s->dst + pixel * s->dst_ld + c) = best;
        }
    }
}

/* Images (N, C, H, W), plane by plane, to pixels. */
static void to_pixels(const Step *s, int64_t pixels)
{
    const int64_t area = s->h * s->w;
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
    for (int64_t pixel = 0; pixel < pixels; pixel++)
        for (int64_t c = 0; c < s->channels; c++)
            s->dst[pixel * s->dst_ld + c] = s->src[(pixel / area * s->channels + c) * area + pixel % area];
}

int64_t vector_lanes(void) { return LANES; }

int64_t most_vectors(void) { return MOST_VECTORS; }

/* Runs `count` steps on `batch` images with `threads` threads. `zeros`: as many zeros as the widest source has channels. */
void run_steps(const Step *steps, int64_t count, int64_t batch, const float *zeros, int threads)
{
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    for (int64_t i = 0; i < count; i++) {
        const Step *s = steps + i;
        const int64_t pixels = batch * s->out_h * s->out_w;
        if (s->kind == CONVOLUTION) convolution(s, pixels, threads, zeros);
        else if (s->kind == MAX_POOL) max_pool(s, pixels);
        else to_pixels(s, pixels);
    }
}
