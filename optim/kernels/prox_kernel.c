/* The proximal step of optim/proximal.py on the CPU, for many weights in one call (float32). Compiled by compiler.py.
 *
 * A group is a column of x and of the metric d = sqrt(v * scale) + eps. A tile of columns at a time is copied into a small
 * scratch, which stays in the core's cache while Newton sweeps over it; where sums over a group are all that is needed, wide
 * tiles are read in place. Sums run in float over BLOCK rows and in double beyond. What float cannot hold is solved again in
 * double, one group at a time.
 *
 * The names are those of optim/proximal.py: z = x * d r / (q r + p), q = d - bend, p = step * strength,
 * bend = step / gamma (0 for the group lasso), and S(r) = sum (d x)^2 / (q r + p)^2 = 1. For a hard threshold (penalties.GroupL0)
 * a group is 0 or stays x, by half the sum of d^hard x^2.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#define LANES 16              /* groups that are solved side by side: one vector register */
#define BLOCKS 4
#define TILE (BLOCKS * LANES) /* groups that are copied from memory at once */
#define WIDE 512              /* groups of a tile that is read only once */
#define BLOCK 64              /* rows */
#define MAX_SWEEPS 100
#define SMALLEST 1e-15 /* proximal.SAFE */
#define LARGEST 1e15

typedef struct {
    float *w;       /* the weight after Adam's step, overwritten by the prox */
    const float *v; /* Adam's running mean of squared gradients */
    float *critical; /* (groups,), out: the smallest strength that sets the group to zero */
    /* Element (o, i) of group g lies at o * stride[0] + i * stride[1] + g * stride[2]. */
    int64_t outer, inner, groups;
    int64_t w_stride[3], v_stride[3];
    double scale, eps, step, strength, inverse_gamma;
    int64_t hard; /* the power of d in the hard threshold, 1 or 2; 0 for the penalties of norms */
} Layer;

typedef struct {
    int64_t layer, column;
} Tile;

enum { ZERO, KEEP, INSIDE, ALONE };

/* What is known of LANES groups: sums over their elements, the root, and the candidate that won. */
typedef struct {
    double dx2[LANES], x2[LANES], dxx[LANES]; /* sum (d x)^2, x^2, d x^2 */
    float steepest[LANES], r[LANES];          /* max d; the root */
    int choice[LANES];
} Lanes;

/* Walks over the rows of a weight: row is (o, i), and its element of group 0 lies at o * stride[0] + i * stride[1]. */
typedef struct {
    int64_t i, offset, inner, step, jump;
} Walk;

static Walk walk_from(const Layer *L, const int64_t stride[3], int64_t row)
{
    const int64_t o = row / L->inner, i = row % L->inner;
    return (Walk){i, o * stride[0] + i * stride[1], L->inner, stride[1], stride[0] - L->inner * stride[1]};
}

static inline int64_t next(Walk *walk)
{
    const int64_t here = walk->offset;
    walk->offset += walk->step;
    if (++walk->i == walk->inner) walk->i = 0, walk->offset += walk->jump;
    return here;
}

/* Copies rows of TILE columns into BLOCKS blocks of LANES, each block rows * LANES floats on end; columns from width on are 0. */
static void load(const Layer *L, const float *w, const int64_t stride[3], int64_t from, int64_t to, int width, float *restrict X)
{
    const int64_t size = L->outer * L->inner * LANES;
    Walk walk = walk_from(L, stride, from);
    if (stride[2] == 1 && width == TILE) {
        for (int64_t row = from; row < to; row++) {
            const float *source = w + next(&walk);
            for (int block = 0; block < BLOCKS; block++)
                memcpy(X + block * size + row * LANES, source + block * LANES, LANES * sizeof(float));
        }
        return;
    }
    for (int64_t row = from; row < to; row++) {
        const float *source = w + next(&walk);
        for (int block = 0; block < BLOCKS; block++)
            for (int j = 0; j < LANES; j++) {
                const int column = block * LANES + j;
                X[block * size + row * LANES + j] = column < width ? source[column * stride[2]] : 0;
            }
    }
}

/* The way back of load. */
static void store(const Layer *L, float *w, const int64_t stride[3], int64_t from, int64_t to, int width, const float *restrict X)
{
    const int64_t size = L->outer * L->inner * LANES;
    Walk walk = walk_from(L, stride, from);
    if (stride[2] == 1 && width == TILE) {
        for (int64_t row = from; row < to; row++) {
            float *target = w + next(&walk);
            for (int block = 0; block < BLOCKS; block++)
                memcpy(target + block * LANES, X + block * size + row * LANES, LANES * sizeof(float));
        }
        return;
    }
    for (int64_t row = from; row < to; row++) {
        float *target = w + next(&walk);
        for (int column = 0; column < width; column++)
            target[column * stride[2]] = X[column / LANES * size + row * LANES + column % LANES];
    }
}

/* Rows of one block: turns v into d, in place, and adds to the sums. */
static void measure(const Layer *L, int64_t from, int64_t to, const float *restrict X, float *restrict D, Lanes *s)
{
    const float scale = (float)L->scale, eps = (float)L->eps;
    float steepest[LANES], dx2[LANES] = {0}, x2[LANES] = {0}, dxx[LANES] = {0};
    for (int j = 0; j < LANES; j++) steepest[j] = s->steepest[j];
    for (int64_t row = from; row < to; row++)
        for (int j = 0; j < LANES; j++) {
            float x = X[row * LANES + j], d = sqrtf(D[row * LANES + j] * scale) + eps, dx = d * x;
            D[row * LANES + j] = d;
            dx2[j] += dx * dx;
            x2[j] += x * x;
            dxx[j] += dx * x;
            steepest[j] = d > steepest[j] ? d : steepest[j];
        }
    for (int j = 0; j < LANES; j++) {
        s->dx2[j] += dx2[j], s->x2[j] += x2[j], s->dxx[j] += dxx[j];
        s->steepest[j] = steepest[j];
    }
}

/* Newton on phi(r) = 1 / sqrt(S(r)) - 1 for all lanes; lanes that are not INSIDE idle. What stays unsolved becomes ALONE. */
static void newton(int64_t rows, const float *restrict X, const float *restrict D, float p, float bend, const float *lowest, Lanes *s)
{
    float r[LANES];
    for (int j = 0; j < LANES; j++) r[j] = s->r[j];
    for (int sweep = 0; sweep < MAX_SWEEPS; sweep++) {
        double S[LANES] = {0}, Q[LANES] = {0};
        for (int64_t from = 0; from < rows; from += BLOCK) {
            const int64_t to = from + BLOCK < rows ? from + BLOCK : rows;
            float sum[LANES] = {0}, slope[LANES] = {0};
            for (int64_t row = from; row < to; row++)
                for (int j = 0; j < LANES; j++) {
                    float d = D[row * LANES + j], q = d - bend;
                    float inverse = 1.0f / (q * r[j] + p);
                    float ratio = d * inverse * X[row * LANES + j], square = ratio * ratio;
                    sum[j] += square;
                    slope[j] += square * (q * inverse);
                }
            for (int j = 0; j < LANES; j++) S[j] += sum[j], Q[j] += slope[j];
        }
        int moving = 0;
        for (int j = 0; j < LANES; j++) {
            if (s->choice[j] != INSIDE) continue;
            if (!(Q[j] > 0)) { /* phi falls: group MCP without a local minimum inside */
                s->choice[j] = ZERO;
                continue;
            }
            double step = S[j] * (sqrt(S[j]) - 1) / Q[j];
            /* Only the first step may go down, from a start on the right: phi is concave, so it lands left of the root. */
            if (!(step > 0) && sweep > 0) step = 0;
            double next = r[j] + step;
            if (!(next > lowest[j])) next = lowest[j];
            /* Newton squares the relative error: after a step this small the next one would be lost in rounding. */
            moving |= fabs(next - r[j]) > 1e-4 * next;
            r[j] = (float)next;
        }
        if (!moving) break;
        if (sweep == MAX_SWEEPS - 1)
            for (int j = 0; j < LANES; j++)
                if (s->choice[j] == INSIDE) s->choice[j] = ALONE;
    }
    for (int j = 0; j < LANES; j++) s->r[j] = r[j];
}

/* step times the penalty of group MCP. */
static double mcp(const Layer *L, double norm)
{
    const double flat_from = L->strength / L->inverse_gamma, r = norm < flat_from ? norm : flat_from;
    return L->step * (L->strength * r - 0.5 * L->inverse_gamma * r * r);
}

/* Group MCP: the best of 0, the local minimum inside, and x itself where the penalty is flat, by their objectives. */
static void choose(const Layer *L, int64_t rows, const float *restrict X, const float *restrict D, double p, double bend, Lanes *s)
{
    double quadratic[LANES] = {0}, square[LANES] = {0};
    float shift[LANES];
    for (int j = 0; j < LANES; j++) shift[j] = (float)(p - bend * s->r[j]);
    for (int64_t from = 0; from < rows; from += BLOCK) {
        const int64_t to = from + BLOCK < rows ? from + BLOCK : rows;
        float q2[LANES] = {0}, z2[LANES] = {0};
        for (int64_t row = from; row < to; row++)
            for (int j = 0; j < LANES; j++) {
                float d = D[row * LANES + j], x = X[row * LANES + j], dr = d * s->r[j];
                float z = x * (dr / (dr + shift[j])), gap = z - x;
                q2[j] += d * gap * gap;
                z2[j] += z * z;
            }
        for (int j = 0; j < LANES; j++) quadratic[j] += q2[j], square[j] += z2[j];
    }
    const double flat_from = L->strength / L->inverse_gamma;
    for (int j = 0; j < LANES; j++) {
        double best = 0.5 * s->dxx[j];
        if (s->choice[j] == ALONE) continue;
        if (s->choice[j] == INSIDE) {
            double value = 0.5 * quadratic[j] + mcp(L, sqrt(square[j]));
            /* Where it exists, 0 is no minimum, and the objective falls from 0 to it: nothing to compare. */
            int inside = s->r[j] > 0 && shift[j] > 0;
            s->choice[j] = inside ? INSIDE : ZERO;
            if (inside) best = value;
        }
        /* Where the penalty becomes flat just at ||x||, rounding must not lose both x and the point inside. */
        if (sqrt(s->x2[j]) >= flat_from * (1 - 1e-6) && mcp(L, sqrt(s->x2[j])) <= best) s->choice[j] = KEEP;
    }
}

/* One group in double; overwrites its lane of X with z. */
static void solve_alone(const Layer *L, int64_t rows, float *X, const float *D, int lane)
{
    const double p = L->step * L->strength, bend = L->step * L->inverse_gamma;
    double dx2 = 0, x2 = 0, dxx = 0, steepest = 0, r, S, Q;
    for (int64_t row = 0; row < rows; row++) {
        double x = X[row * LANES + lane], d = D[row * LANES + lane];
        dx2 += d * x * d * x, x2 += x * x, dxx += d * x * x;
        steepest = d > steepest ? d : steepest;
    }
    if (!isfinite(dx2)) return; /* a NaN stays visible */
    int choice = sqrt(dx2) <= p ? ZERO : INSIDE;
    r = steepest > bend ? (sqrt(dx2) - p) / (steepest - bend) : 0;
    for (int sweep = 0; sweep < MAX_SWEEPS && choice == INSIDE; sweep++) {
        S = Q = 0;
        for (int64_t row = 0; row < rows; row++) {
            double d = D[row * LANES + lane], q = d - bend, inverse = 1 / (q * r + p);
            double ratio = d * inverse * X[row * LANES + lane];
            S += ratio * ratio, Q += ratio * ratio * q * inverse;
        }
        if (!(Q > 0)) choice = ZERO;
        double step = S * (sqrt(S) - 1) / Q;
        if (!(step > 0)) break;
        r += step;
        if (step <= 1e-9 * r) break;
    }
    if (bend > 0) {
        const double flat_from = L->strength / L->inverse_gamma;
        double best = 0.5 * dxx, quadratic = 0, square = 0;
        for (int64_t row = 0; row < rows && choice == INSIDE; row++) {
            double d = D[row * LANES + lane], x = X[row * LANES + lane], z = x * (d * r / (d * r + (p - bend * r)));
            quadratic += d * (z - x) * (z - x), square += z * z;
        }
        if (choice == INSIDE) {
            double value = 0.5 * quadratic + mcp(L, sqrt(square));
            choice = r > 0 && p > bend * r ? INSIDE : ZERO;
            if (choice == INSIDE) best = value;
        }
        if (sqrt(x2) >= flat_from * (1 - 1e-12) && mcp(L, sqrt(x2)) <= best) choice = KEEP;
    }
    for (int64_t row = 0; row < rows; row++) {
        double d = D[row * LANES + lane];
        if (choice == ZERO) X[row * LANES + lane] = 0;
        if (choice == INSIDE) X[row * LANES + lane] *= (float)fmin(d * r / (d * r + (p - bend * r)), 1);
    }
}

/* Rows of one block: turns x into z, in place. */
static void finish(int64_t from, int64_t to, float *restrict X, const float *restrict D, double p, double bend, const Lanes *s)
{
    float r[LANES], shift[LANES], keep[LANES];
    for (int j = 0; j < LANES; j++) {
        r[j] = s->choice[j] == INSIDE ? s->r[j] : 0;
        shift[j] = s->choice[j] == INSIDE ? (float)(p - bend * s->r[j]) : 1;
        keep[j] = s->choice[j] == KEEP || s->choice[j] == ALONE;
    }
    for (int64_t row = from; row < to; row++)
        for (int j = 0; j < LANES; j++) {
            /* In float this order matters: x * d * r alone loses digits; and d r must be the same number above and below, or a
             * threshold beyond the last digit would still shrink x by one. q r + p = d r + (p - bend r). */
            float dr = D[row * LANES + j] * r[j], factor = dr / (dr + shift[j]);
            factor = factor < 1 ? factor : 1;
            X[row * LANES + j] *= keep[j] > factor ? keep[j] : factor;
        }
}

/* One block: finds what becomes of each of its groups. */
static void solve(const Layer *L, int64_t rows, int width, float *X, const float *D, Lanes *s)
{
    const double p = L->step * L->strength, bend = L->step * L->inverse_gamma;
    const int safe = p >= SMALLEST && p <= LARGEST && bend <= LARGEST;
    float lowest[LANES];
    int inside = 0;
    for (int j = 0; j < LANES; j++) {
        double norm = sqrt(s->dx2[j]), slope = s->steepest[j] - bend;
        s->choice[j] = norm <= (float)p ? ZERO : INSIDE;
        if (!safe || !(norm <= LARGEST) || !(s->x2[j] <= LARGEST * LARGEST)) s->choice[j] = j < width ? ALONE : ZERO;
        inside |= s->choice[j] == INSIDE;
        lowest[j] = s->choice[j] == INSIDE && slope > 0 ? (float)((norm - p) / slope) : 0;
        /* r <= ||x||, and close to it where the threshold is small: there Newton saves a sweep from the right. */
        s->r[j] = s->choice[j] == INSIDE && bend == 0 && p < 0.1 * norm ? (float)sqrt(s->x2[j]) : lowest[j];
    }
    if (inside) newton(rows, X, D, (float)p, (float)bend, lowest, s);
    if (bend > 0) choose(L, rows, X, D, p, bend, s);
    for (int j = 0; j < width; j++)
        if (s->choice[j] == ALONE) solve_alone(L, rows, X, D, j);
}

/* 0 is the minimiser iff ||d x|| <= p and, for group MCP, x itself is not better: see penalties.GroupMCP.critical. */
static float critical(const Layer *L, double dx2, double dxx)
{
    if (L->hard) return (float)(0.5 * (L->hard == 1 ? dxx : dx2) / L->step);
    const double zero = sqrt(dx2) / L->step, bend = L->inverse_gamma;
    if (bend == 0) return (float)zero;
    return (float)fmax(zero, sqrt(dxx * bend / L->step));
}

/* The hard threshold: sets the groups of a tile to zero whose critical strength says so. */
static void threshold(const Layer *L, int64_t column, int width)
{
    int dead[WIDE], count = 0;
    for (int j = 0; j < width; j++)
        if (L->critical[column + j] <= (float)L->strength) dead[count++] = j;
    if (!count) return;
    Walk walk = walk_from(L, L->w_stride, 0);
    for (int64_t row = 0; row < L->outer * L->inner; row++) {
        float *target = L->w + column * L->w_stride[2] + next(&walk);
        for (int k = 0; k < count; k++) target[dead[k] * L->w_stride[2]] = 0;
    }
}

/* A wide tile whose groups lie side by side: the critical strengths, and the hard threshold. */
static void wide_tile(const Layer *L, int64_t column)
{
    const int64_t rows = L->outer * L->inner, left = L->groups - column;
    const int width = left < WIDE ? (int)left : WIDE;
    const float scale = (float)L->scale, eps = (float)L->eps;
    double dx2[WIDE] = {0}, dxx[WIDE] = {0};
    Walk w_walk = walk_from(L, L->w_stride, 0), v_walk = walk_from(L, L->v_stride, 0);
    for (int64_t from = 0; from < rows; from += BLOCK) {
        const int64_t to = from + BLOCK < rows ? from + BLOCK : rows;
        float dx2_sum[WIDE] = {0}, dxx_sum[WIDE] = {0};
        for (int64_t row = from; row < to; row++) {
            const float *restrict X = L->w + column + next(&w_walk), *restrict V = L->v + column + next(&v_walk);
            for (int j = 0; j < width; j++) {
                float x = X[j], d = sqrtf(V[j] * scale) + eps, dx = d * x;
                dx2_sum[j] += dx * dx;
                dxx_sum[j] += dx * x;
            }
        }
        for (int j = 0; j < width; j++) dx2[j] += dx2_sum[j], dxx[j] += dxx_sum[j];
    }
    for (int j = 0; j < width; j++) L->critical[column + j] = critical(L, dx2[j], dxx[j]);
    if (L->strength > 0) threshold(L, column, width);
}

static void prox_tile(const Layer *L, int64_t column, float *scratch)
{
    const int64_t rows = L->outer * L->inner, left = L->groups - column;
    const int width = left < TILE ? (int)left : TILE;
    const double p = L->step * L->strength, bend = L->step * L->inverse_gamma;
    float *X = scratch, *D = scratch + rows * TILE, *w = L->w + column * L->w_stride[2];
    Lanes sums[BLOCKS] = {0};
    for (int64_t from = 0; from < rows; from += BLOCK) {
        const int64_t to = from + BLOCK < rows ? from + BLOCK : rows;
        load(L, w, L->w_stride, from, to, width, X);
        load(L, L->v + column * L->v_stride[2], L->v_stride, from, to, width, D);
        for (int block = 0; block < BLOCKS; block++)
            measure(L, from, to, X + block * rows * LANES, D + block * rows * LANES, &sums[block]);
    }
    for (int j = 0; j < width; j++)
        L->critical[column + j] = critical(L, sums[j / LANES].dx2[j % LANES], sums[j / LANES].dxx[j % LANES]);
    if (L->strength == 0) return;
    if (L->hard) {
        threshold(L, column, width);
        return;
    }
    for (int block = 0; block * LANES < width; block++)
        solve(L, rows, width - block * LANES < LANES ? width - block * LANES : LANES, X + block * rows * LANES,
              D + block * rows * LANES, &sums[block]);
    for (int64_t from = 0; from < rows; from += BLOCK) {
        const int64_t to = from + BLOCK < rows ? from + BLOCK : rows;
        for (int block = 0; block * LANES < width; block++)
            finish(from, to, X + block * rows * LANES, D + block * rows * LANES, p, bend, &sums[block]);
        store(L, w, L->w_stride, from, to, width, X);
    }
}

/* Groups of a tile, for threads to share the work: wide where groups lie side by side and nobody sweeps over them. */
int prox_tile_width(const Layer *L)
{
    return (L->hard || L->strength == 0) && L->w_stride[2] == 1 && L->v_stride[2] == 1 ? WIDE : TILE;
}

/* Floats of scratch that a tile needs: none where it is read in place. */
int64_t prox_scratch_size(const Layer *L)
{
    return prox_tile_width(L) == WIDE ? 0 : 2 * TILE * L->outer * L->inner;
}

/* Sums of w * v over the groups of a wide tile, into critical. */
static void dots_tile(const Layer *L, int64_t column)
{
    const int64_t rows = L->outer * L->inner, left = L->groups - column, w_step = L->w_stride[2], v_step = L->v_stride[2];
    const int width = left < WIDE ? (int)left : WIDE;
    double sums[WIDE] = {0};
    Walk w_walk = walk_from(L, L->w_stride, 0), v_walk = walk_from(L, L->v_stride, 0);
    for (int64_t from = 0; from < rows; from += BLOCK) {
        const int64_t to = from + BLOCK < rows ? from + BLOCK : rows;
        float part[WIDE] = {0};
        for (int64_t row = from; row < to; row++) {
            const float *X = L->w + column * w_step + next(&w_walk), *V = L->v + column * v_step + next(&v_walk);
            if (w_step == 1 && v_step == 1)
                for (int j = 0; j < width; j++) part[j] += X[j] * V[j];
            else
                for (int j = 0; j < width; j++) part[j] += X[j * w_step] * V[j * v_step];
        }
        for (int j = 0; j < width; j++) sums[j] += part[j];
    }
    for (int j = 0; j < width; j++) L->critical[column + j] = (float)sums[j];
}

/* critical of each layer: the sum of w * v over each group, for v the gradient. Tiles: WIDE columns each. */
void prox_dots(const Layer *layers, const Tile *tiles, int64_t n_tiles, int threads)
{
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
#endif
    for (int64_t k = 0; k < n_tiles; k++) dots_tile(&layers[tiles[k].layer], tiles[k].column);
}

int prox_dots_width(void)
{
    return WIDE;
}

/* scratch: threads * scratch_size floats, where scratch_size is the largest prox_scratch_size. Tiles: prox_tile_width. */
void prox_step(const Layer *layers, const Tile *tiles, int64_t n_tiles, float *scratch, int64_t scratch_size, int threads)
{
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    {
#ifdef _OPENMP
        float *mine = scratch + scratch_size * omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
#else
        float *mine = scratch;
#endif
        for (int64_t k = 0; k < n_tiles; k++) {
            const Layer *L = &layers[tiles[k].layer];
            if (prox_tile_width(L) == WIDE)
                wide_tile(L, tiles[k].column);
            else
                prox_tile(L, tiles[k].column, mine);
        }
    }
}
