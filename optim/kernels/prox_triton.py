"""The proximal step of optim/proximal.py on a GPU, for all weights in one launch (float32). Launched by ``gpu.py``.

A group is a column of x and of the metric d = sqrt(v / correction) + eps. One program solves a few columns of one weight: it
walks over their rows in blocks, once to measure them, once per sweep of Newton's method and once to write the result. It keeps
one sum per element of the block, so that a walk has no barrier and adds few numbers to each sum; what it reads again comes from
the caches, where the columns fit.

The names are those of optim/proximal.py: z = x * d r / (q r + p), q = d - bend, p = step * strength, bend = step / gamma (0
for the group lasso), and S(r) = sum (d x)^2 / (q r + p)^2 = 1. Importing this module needs triton.

"Not" is written ``== 0``, and a constant stands right of a tensor: triton 3.8's interpreter knows neither ``~`` of a truth
value nor ``constant * tensor``.
"""
# mypy: allow-incomplete-defs
# (Only compile-time constants carry an annotation: triton reads it.)

import triton
import triton.language as tl

LAYER_FIELDS = tl.constexpr(11)
STEP_FIELDS = tl.constexpr(7)
MAX_SWEEPS = tl.constexpr(100)
SMALLEST = tl.constexpr(1e-15)  # thresholds and norms whose squares float holds with room to spare (proximal.SAFE)
LARGEST = tl.constexpr(1e15)
SPREAD = tl.constexpr(1e28)  # max d ||x|| / p: no term of S is larger than twice this
TINY = tl.constexpr(1e-30)


@triton.jit
def _elements(place, start, wanted, scale, block: tl.constexpr):
    """x and d of block rows from ``start``, scaled; where there is no row, or the column is not wanted, x is 0."""
    w, v, rows, magic, w_column, w_step, w_jump, v_column, v_step, v_jump = place
    unit, root, eps = scale
    row = start + tl.arange(0, block)
    outer = tl.umulhi(row.to(tl.uint32), magic).to(tl.int32)
    here = (row < rows)[:, None] & wanted[None, :]
    x = tl.load(w + ((row * w_step + outer * w_jump)[:, None] + w_column[None, :]), mask=here, other=0.0)
    square = tl.load(v + ((row * v_step + outer * v_jump)[:, None] + v_column[None, :]), mask=here, other=0.0)
    return x * unit[None, :], tl.sqrt(square) * root[None, :] + eps[None, :]


@triton.jit
def _measure(place, wanted, scale, cubes, block: tl.constexpr, width: tl.constexpr):
    """Per column ||d x||, ||x||, sum d^3 x^2 if ``cubes`` (of the group lasso) and else sum d x^2, and max d."""
    dx2 = tl.zeros((block, width), tl.float32)
    x2, third, steepest = dx2, dx2, dx2
    for start in range(0, place[2], block):
        x, d = _elements(place, start, wanted, scale, block)
        square = x * x
        x2 += square
        dx2 += d * x * (d * x)
        third += square * d * tl.where(cubes, d * d, 1.0)
        steepest = tl.maximum(steepest, d)
    return tl.sqrt(tl.sum(dx2, 0)), tl.sqrt(tl.sum(x2, 0)), tl.sum(third, 0), tl.max(steepest, 0)


@triton.jit
def _largest(place, wanted, scale, block: tl.constexpr, width: tl.constexpr):
    """Per column max |x|."""
    largest = tl.zeros((block, width), tl.float32)
    for start in range(0, place[2], block):
        x, _ = _elements(place, start, wanted, scale, block)
        largest = tl.maximum(largest, tl.abs(x))
    return tl.max(largest, 0)


@triton.jit
def _power_of_two(largest):
    """The power of two that brings ``largest`` near 1 (proximal._unit), by its exponent's bits."""
    exponent = ((largest.to(tl.int32, bitcast=True) >> 23) & 255) - 126
    exponent = tl.minimum(tl.maximum(exponent, -100), 100)
    return ((127 - exponent) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _secular_sums(place, wanted, scale, p, bend, r, block: tl.constexpr, width: tl.constexpr):
    """S and, with the same weights, the sums of u and u^2, u = q r / (q r + p)."""
    s = tl.zeros((block, width), tl.float32)
    first, second = s, s
    for start in range(0, place[2], block):
        x, d = _elements(place, start, wanted, scale, block)
        qr = (d - bend[None, :]) * r[None, :]
        inverse = 1.0 / (qr + p[None, :])
        u = qr * inverse
        ratio = d * inverse * x
        square = ratio * ratio
        s += square
        first += square * u
        second += square * u * u
    return tl.sum(s, 0), tl.sum(first, 0), tl.sum(second, 0)


@triton.jit
def _newton(place, inside, scale, p, bend, r, lowest, flat, lasso, block: tl.constexpr, width: tl.constexpr):
    """Newton on phi(r) = 1 / sqrt(S(r)) - 1 from ``r``: the root, and True where phi was never seen to fall.

    phi is concave, so that a step from either side lands left of the root. For the group lasso its second derivative is
    added, -3 Var(u) / E(u) relative to r phi', which makes the convergence cubic; steps are relative to r throughout.
    """
    moving = inside
    sweep = 0
    while (sweep < MAX_SWEEPS) & (tl.max(moving.to(tl.int32), 0) > 0):
        s, first, second = _secular_sums(place, moving, scale, p, bend, r, block, width)
        slope = first / s
        falls = moving & ((slope > 0) == 0)  # group MCP without a local minimum inside
        inside = inside & (falls == 0)
        moving = moving & (falls == 0)
        excess = tl.sqrt(s) - 1.0
        step = excess / slope
        curve = 1.5 * (second / s - slope * slope) / slope * step * step
        curve = tl.minimum(tl.maximum(curve, 0.0), 0.5 * tl.abs(step))
        # Group MCP rises from the left only: its phi may fall further right.
        step_to = r + r * tl.where(lasso, step + curve, tl.maximum(step, 0.0))
        r = tl.where(moving, tl.where(step_to > lowest, step_to, lowest), r)
        # After a step this small the next one would be lost in rounding; so is an excess this small (p close to the norm).
        moving = moving & (tl.abs(step) > tl.where(lasso, 1e-2, 3e-5)) & (tl.abs(excess) > 1e-6) & (r < flat)
        sweep += 1
    return r, inside


@triton.jit
def _choose(place, sums, scale, p, bend, r, inside, flat, block: tl.constexpr, width: tl.constexpr):
    """Group MCP: which columns take the local minimum inside, and which stay x, where the penalty is flat; else 0."""
    _, x_norm, dxx, _ = sums
    quadratic = tl.zeros((block, width), tl.float32)
    square = quadratic
    rows = tl.where(tl.max(inside.to(tl.int32), 0) > 0, place[2], 0)
    for start in range(0, rows, block):
        x, d = _elements(place, start, inside, scale, block)
        inverse = 1.0 / ((d - bend[None, :]) * r[None, :] + p[None, :])
        z = d * r[None, :] * inverse * x
        gap = (p - bend * r)[None, :] * inverse * x  # x - z
        quadratic += d * gap * gap
        square += z * z
    norm2 = tl.sum(square, 0)
    best = 0.5 * dxx
    value = 0.5 * tl.sum(quadratic, 0) + (p * tl.sqrt(norm2) - 0.5 * bend * norm2)
    # Where it exists, 0 is no minimum, and the objective falls from 0 to it: nothing to compare.
    inside = inside & (r > 0) & (r < flat)
    best = tl.where(inside, value, best)
    # At ||x|| = flat the point inside is x itself, and rounding must not lose both; a hair before it is as good as flat.
    return inside, (x_norm >= flat * (1 - 1e-5)) & (0.5 * p * flat <= best)


@triton.jit
def _finish(place, written, scale, p, bend, r, inside, block: tl.constexpr):
    """Writes z to the columns ``written``: x times a factor, and 0 where the column is not inside."""
    w, _v, rows, magic, w_column, w_step, w_jump, _v_column, _v_step, _v_jump = place
    for start in range(0, rows, block):
        x, d = _elements(place, start, inside, scale, block)
        factor = d * r[None, :] / ((d - bend[None, :]) * r[None, :] + p[None, :])
        z = tl.where(inside[None, :], x * tl.minimum(tl.maximum(factor, 0.0), 1.0), 0.0)  # never longer than x
        row = start + tl.arange(0, block)
        outer = tl.umulhi(row.to(tl.uint32), magic).to(tl.int32)
        here = (row < rows)[:, None] & written[None, :]
        tl.store(w + ((row * w_step + outer * w_jump)[:, None] + w_column[None, :]), z, mask=here)


@triton.jit
def _solve(place, valid, sums, scale, p, bend, flat, lasso, block: tl.constexpr, width: tl.constexpr):
    """Finds what becomes of each column, and writes it."""
    norm, x_norm, cubes, steepest = sums
    keep = (norm < float("inf")) == 0  # a NaN stays visible
    slope = steepest - bend
    lowest = tl.where(slope > 0, (norm - p) / slope, 0.0)
    inside = valid & (norm > p) & (lowest < flat) & (keep == 0)
    # The group lasso starts on a curve that is exact for a constant metric. Where p is near the norm, it follows
    # r = (norm - p) * sum (d x)^2 / sum d^3 x^2; where p is near 0, r = ||x||.
    share = p / norm
    bow = (x_norm / norm) * (cubes / norm / norm)
    guess = x_norm * (1.0 - share) / (share * bow + (1.0 - share))
    start = tl.where(lasso, tl.where(guess > lowest, guess, lowest), lowest)
    r, inside = _newton(place, inside, scale, p, bend, start, lowest, flat, lasso, block, width)
    if not lasso:
        inside, flat_wins = _choose(place, sums, scale, p, bend, r, inside, flat, block, width)
        keep = keep | flat_wins
    written = valid & (keep == 0)
    if tl.max(written.to(tl.int32), 0) > 0:
        _finish(
            place, written, (tl.full((width,), 1.0, tl.float32), scale[1], scale[2]), p, bend, r, inside & (keep == 0), block
        )


@triton.jit
def _critical(sums, unit, d_unit, lr, inverse_gamma, lasso):
    """The smallest strength that sets each column to zero (penalties.GroupMCP.critical), in double."""
    norm, _, dxx, _ = sums
    wide, d_wide = unit.to(tl.float64), d_unit.to(tl.float64)
    local = norm / (wide * d_wide * lr)
    better = tl.sqrt(dxx / (wide * wide * d_wide) * (inverse_gamma / lr))
    return tl.where(lasso, local, tl.maximum(local, better)).to(tl.float32)


@triton.jit
def _hard_critical(sums, unit, d_unit, lr, hard):
    """The same of the hard threshold (penalties.GroupL0.critical): half the sum of d^hard x^2 by lr, in double."""
    norm, _, dxx, _ = sums
    wide, d_wide = unit.to(tl.float64), d_unit.to(tl.float64)
    of_d = dxx.to(tl.float64) / (wide * wide * d_wide)
    of_square = norm.to(tl.float64) * norm.to(tl.float64) / (wide * wide * d_wide * d_wide)
    return (0.5 * tl.where(hard == 1, of_d, of_square) / lr).to(tl.float32)


@triton.jit
def _clear(place, dead, block: tl.constexpr, width: tl.constexpr):
    """Writes 0 to the columns ``dead``."""
    w, _v, rows, magic, w_column, w_step, w_jump, _v_column, _v_step, _v_jump = place
    for start in range(0, rows, block):
        row = start + tl.arange(0, block)
        outer = tl.umulhi(row.to(tl.uint32), magic).to(tl.int32)
        here = (row < rows)[:, None] & dead[None, :]
        tl.store(w + ((row * w_step + outer * w_jump)[:, None] + w_column[None, :]), 0.0, mask=here)


@triton.jit
def _in_range(p, bend, norm, x_norm, steepest):
    """True where no square below leaves the range of float."""
    in_range = (p >= SMALLEST) & (p <= LARGEST) & (bend <= LARGEST) & (steepest * x_norm <= p * SPREAD)
    return in_range & ((norm <= p) | ((x_norm >= SMALLEST) & (steepest * x_norm * x_norm <= LARGEST * LARGEST)))


@triton.jit
def _tile(layer, step, column, rows, block: tl.constexpr, width: tl.constexpr):
    """The columns from ``column`` on of one weight."""
    columns = column + tl.arange(0, width)
    valid = columns < tl.load(layer + 3).to(tl.int32)
    w, v = tl.load(layer).to(tl.pointer_type(tl.float32)), tl.load(layer + 1).to(tl.pointer_type(tl.float32))
    magic = tl.load(layer + 4).to(tl.uint32)
    w_column, v_column = columns * tl.load(layer + 5).to(tl.int32), columns * tl.load(layer + 8).to(tl.int32)
    w_step, w_jump = tl.load(layer + 6).to(tl.int32), tl.load(layer + 7).to(tl.int32)
    v_step, v_jump = tl.load(layer + 9).to(tl.int32), tl.load(layer + 10).to(tl.int32)
    place = (w, v, rows, magic, w_column, w_step, w_jump, v_column, v_step, v_jump)

    numbers = step.to(tl.pointer_type(tl.float64))
    lr, correction, eps = tl.load(numbers + 1), tl.load(numbers + 2), tl.load(numbers + 3).to(tl.float32)
    strength, inverse_gamma, hard = tl.load(numbers + 4), tl.load(numbers + 5), tl.load(step + 6)
    lasso = inverse_gamma == 0
    cubes = lasso & (hard == 0)
    ones = tl.full((width,), 1.0, tl.float32)
    p, bend = ones * (lr * strength), ones * (lr * inverse_gamma)  # in double
    flat = tl.where(lasso, float("inf"), strength / tl.where(lasso, 1.0, inverse_gamma))

    unit, d_unit = ones, ones
    root = (1.0 / tl.sqrt(correction)).to(tl.float32)
    sums = _measure(place, valid, (ones, ones * root, ones * eps), cubes, block, width)
    norm, x_norm, _, steepest = sums
    measured = ((p == 0) | (hard > 0)) & ((norm >= SMALLEST) | (x_norm == 0))
    safe = (norm <= LARGEST) & (x_norm <= LARGEST) & (measured | _in_range(p, bend, norm, x_norm, steepest))
    if tl.max((valid & (safe == 0)).to(tl.int32), 0) > 0:
        # The problem is homogeneous in x and in d, and powers of two cost no digit: both are brought near 1.
        largest = _largest(place, valid, (ones, ones * root, ones * eps), block, width)
        unit = tl.where(safe, 1.0, _power_of_two(largest))
        d_unit = tl.where(safe, 1.0, _power_of_two(steepest))
        sums = _measure(place, valid, (unit, d_unit * root, d_unit * eps), cubes, block, width)
    critical = tl.load(step).to(tl.pointer_type(tl.float32))
    thresholds = _critical(sums, unit, d_unit, lr, inverse_gamma, lasso)
    if hard > 0:
        thresholds = _hard_critical(sums, unit, d_unit, lr, hard)
    tl.store(critical + columns, thresholds, mask=valid)
    if (hard > 0) & (lr * strength > 0):
        dead = valid & (thresholds <= strength.to(tl.float32))
        if tl.max(dead.to(tl.int32), 0) > 0:
            _clear(place, dead, block, width)
    elif lr * strength > 0:
        # Beyond these ends nothing changes any more, and float would overflow.
        threshold = tl.minimum(tl.maximum(p * unit * d_unit, TINY), 1 / TINY).to(tl.float32)
        bends = tl.minimum(bend * d_unit, 1 / TINY).to(tl.float32)
        scale = (unit, d_unit * root, d_unit * eps)
        _solve(place, valid, sums, scale, threshold, bends, (flat * unit).to(tl.float32), lasso, block, width)


@triton.jit
def prox_step(layers, steps, tiles, short_rows: tl.constexpr, short_tile: tl.constexpr, long_tile: tl.constexpr):
    """One tile: program k takes row k of ``tiles``. All three are tables of int64, as gpu.py makes them."""
    tile = tiles + 2 * tl.program_id(0)
    index, column = tl.load(tile), tl.load(tile + 1).to(tl.int32)
    layer, step = layers + index * LAYER_FIELDS, steps + index * STEP_FIELDS
    rows = tl.load(layer + 2).to(tl.int32)
    if rows <= short_rows:
        _tile(layer, step, column, rows, short_tile[0], short_tile[1])
    else:
        _tile(layer, step, column, rows, long_tile[0], long_tile[1])
