"""Bit operations that numba lacks: eight bytes as one number, 64 bytes compared at once."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_WIDE = ir.VectorType(_BYTE, 64)


def _pointer(context: Any, builder: Any, signature: Any, args: Any, kind: ir.Type) -> Any:
    """Address of byte args[1] of the array args[0], as a pointer to `kind`."""
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), kind.as_pointer())


def _load64(typing: Any, data: Any, i: Any) -> Any:
    """load64(data, i): bytes data[i:i + 8] as uint64, the first one lowest. Unchecked."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, args, _WORD), align=1)

    return types.uint64(data, types.int64), generate


def _compare(operator: str, builder: Any, values: Any, byte: Any) -> Any:
    """64 bytes compared with one, as the bits of a uint64."""
    return builder.bitcast(builder.icmp_unsigned(operator, values, _every(builder, byte)), _WORD)


def _every(builder: Any, byte: Any) -> Any:
    """64 times the same byte."""
    none = ir.Constant(_WIDE, ir.Undefined)
    first = builder.insert_element(none, byte, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), None)
    return builder.shuffle_vector(first, none, zeros)


def _at_least(typing: Any, data: Any, i: Any, low: Any) -> Any:
    """at_least(data, i, low): bit j of the uint64 says data[i + j] >= low. Unchecked."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = builder.load(_pointer(context, builder, signature, args, _WIDE), align=1)
        return _compare(">=", builder, values, args[2])

    return types.uint64(data, types.int64, types.uint8), generate


def _equal(typing: Any, data: Any, i: Any, byte: Any) -> Any:
    """equal(data, i, byte): bit j of the uint64 says data[i + j] == byte. Unchecked."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = builder.load(_pointer(context, builder, signature, args, _WIDE), align=1)
        return _compare("==", builder, values, args[2])

    return types.uint64(data, types.int64, types.uint8), generate


def _between(typing: Any, data: Any, i: Any, bits: Any, low: Any, high: Any) -> Any:
    """between(data, i, bits, low, high): bit j says low <= (data[i + j] | bits) <= high."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = builder.load(_pointer(context, builder, signature, args, _WIDE), align=1)
        values = builder.or_(values, _every(builder, args[2]))
        width = builder.sub(args[4], args[3])
        return _compare("<=", builder, builder.sub(values, _every(builder, args[3])), width)

    return types.uint64(data, types.int64, types.uint8, types.uint8, types.uint8), generate


def _trailing_zeros(typing: Any, value: Any) -> Any:
    """trailing_zeros(value): the place of the lowest bit of a uint64; 64 when there is none."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _count_ones(typing: Any, value: Any) -> Any:
    """count_ones(value): how many bits of a uint64 are 1."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


def _prefetch(typing: Any, data: Any, i: Any) -> Any:
    """prefetch(data, i): asks memory for what is around data[i], and does not wait. Unchecked;
    data has one dimension, and may end before i."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = _pointer(context, builder, signature, args, _BYTE)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [where.type, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [where.type], kind)
        builder.call(call, [where, number(0), number(3), number(1)])  # to be read, and often
        return context.get_dummy_value()

    return types.void(data, types.int64), generate


# Kernels call them without the first argument, which mypy cannot know.
load64: Any = intrinsic(_load64)
at_least: Any = intrinsic(_at_least)
between: Any = intrinsic(_between)
equal: Any = intrinsic(_equal)
trailing_zeros: Any = intrinsic(_trailing_zeros)
count_ones: Any = intrinsic(_count_ones)
prefetch: Any = intrinsic(_prefetch)
