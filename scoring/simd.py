"""Vectors of eight float32 for kernels: a tile of a matrix product, and the cell of an LSTM.

LLVM cuts them into what the processor has. Offsets count elements of flat arrays, and are not
checked.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 8
TILE_ROWS, TILE_COLUMNS = 4, 16
_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FUSED = ("contract",)  # a product and a sum may become one operation
# tanh(x) is about x P(x^2) / Q(x^2) below the limit, within 5e-7 (Eigen's ptanh).
_LIMIT = 7.90531110763549805
_P = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
      1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03)
_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


class _Code:
    """Writer of vector code: a builder, and the data of the arrays."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.builder = builder
        self.values = [
            context.make_array(kind)(context, builder, value).data
            if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, args, strict=True)]

    def number(self, value: int) -> Any:
        return ir.Constant(_INT, value)

    def every(self, value: float) -> Any:
        return ir.Constant(_VECTOR, [value] * LANES)

    def at(self, data: Any, offset: Any) -> Any:
        return self.builder.bitcast(
            self.builder.gep(data, [offset]), _VECTOR.as_pointer())

    def load(self, data: Any, offset: Any) -> Any:
        return self.builder.load(self.at(data, offset), align=4)

    def store(self, value: Any, data: Any, offset: Any) -> None:
        self.builder.store(value, self.at(data, offset), align=4)

    def spread(self, value: Any) -> Any:
        none = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(none, value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        return self.builder.shuffle_vector(first, none, zeros)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        return self.builder.fadd(self.builder.fmul(x, y, flags=_FUSED), z, flags=_FUSED)

    def largest(self, x: Any, y: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", x, y), x, y)

    def least(self, x: Any, y: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered("<", x, y), x, y)

    def tanh(self, x: Any) -> Any:
        x = self.least(self.largest(x, self.every(-_LIMIT)), self.every(_LIMIT))
        square = self.builder.fmul(x, x)
        above, below = self.every(_P[0]), self.every(_Q[0])
        for factor in _P[1:]:
            above = self.multiply_add(above, square, self.every(factor))
        for factor in _Q[1:]:
            below = self.multiply_add(below, square, self.every(factor))
        return self.builder.fdiv(self.builder.fmul(x, above), below)

    def logistic(self, x: Any) -> Any:
        half = self.every(0.5)
        return self.multiply_add(self.tanh(self.builder.fmul(x, half)), half, half)

    def loop(self, size: Any, step: int, carried: list[Any], body: Any) -> list[Any]:
        """for k in range(0, size, step), at least once: carried = body(k, carried)."""
        builder = self.builder
        before = builder.block
        inside, behind = builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(inside)
        builder.position_at_end(inside)
        k = builder.phi(_INT)
        k.add_incoming(self.number(0), before)
        values = [builder.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        results = body(k, values)
        after = builder.add(k, self.number(step))
        k.add_incoming(after, builder.block)
        for phi, value in zip(values, results, strict=True):
            phi.add_incoming(value, builder.block)
        builder.cbranch(builder.icmp_signed("<", after, size), inside, behind)
        builder.position_at_end(behind)
        return list(results)


def _tile(
    typing: Any, x: Any, x0: Any, size: Any, weights: Any, w0: Any, start: Any,
    s0: Any, s1: Any, s2: Any, s3: Any, out: Any, o0: Any, width: Any,
) -> Any:
    """out[o0 + i width + j] = start[s_i + j] + sum over k < size of
    x[x0 + i size + k] weights[w0 + 16 k + j], for 4 rows i and 16 columns j."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args)
        x, x0, size, weights, w0, start, *starts, out, o0, width = code.values
        halves = range(0, TILE_COLUMNS, LANES)
        sums = [code.load(start, builder.add(first, code.number(half)))
                for first in starts for half in halves]
        rows = [builder.gep(x, [builder.add(x0, builder.mul(size, code.number(i)))])
                for i in range(TILE_ROWS)]

        def add(k: Any, sums: list[Any]) -> list[Any]:
            first = builder.add(w0, builder.mul(k, code.number(TILE_COLUMNS)))
            parts = [code.load(weights, builder.add(first, code.number(half)))
                     for half in halves]
            factors = [code.spread(builder.load(builder.gep(row, [k]))) for row in rows]
            return [code.multiply_add(factor, part, sums[len(parts) * i + j])
                    for i, factor in enumerate(factors) for j, part in enumerate(parts)]

        sums = code.loop(size, 1, sums, add)
        for i in range(TILE_ROWS):
            first = builder.add(o0, builder.mul(width, code.number(i)))
            for j, half in enumerate(halves):
                code.store(sums[len(halves) * i + j], out,
                           builder.add(first, code.number(half)))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(x, whole, whole, weights, whole, start, whole, whole, whole, whole,
                      out, whole, whole), generate


def _cell(
    typing: Any, gates: Any, g0: Any, size: Any, state: Any, hidden: Any, total: Any,
    highest: Any, s0: Any,
) -> Any:
    """One step of an LSTM of `size` units, a multiple of 8: gates[g0:] are its i, f, g, o of
    torch before their functions; state, hidden, total and highest [s0:] get the new cell and
    output, the output added, and the larger of the two."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args)
        gates, g0, size, state, hidden, total, highest, s0 = code.values

        def step(k: Any, _: list[Any]) -> list[Any]:
            first = builder.add(g0, k)
            taken, kept, new, shown = (
                code.load(gates, builder.add(first, builder.mul(size, code.number(gate))))
                for gate in range(4))
            place = builder.add(s0, k)
            cell = builder.fmul(code.logistic(kept), code.load(state, place))
            cell = code.multiply_add(code.logistic(taken), code.tanh(new), cell)
            output = builder.fmul(code.logistic(shown), code.tanh(cell))
            code.store(cell, state, place)
            code.store(output, hidden, place)
            code.store(builder.fadd(code.load(total, place), output), total, place)
            code.store(code.largest(code.load(highest, place), output), highest, place)
            return []

        code.loop(size, LANES, [], step)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(gates, whole, whole, state, hidden, total, highest, whole), generate


# Kernels call them without the first argument, which mypy cannot know.
tile: Any = intrinsic(_tile)
cell: Any = intrinsic(_cell)
