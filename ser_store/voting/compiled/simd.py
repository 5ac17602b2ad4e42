"""Eight 64-bit words or 32 of 16 bits at a time, for compiled code: vector types, and what can be done with them.

A loop over a handful of words is not turned into vector instructions by the compiler; these types always are, into
whatever the machine has (AVX-512 counts the bits of eight words in one instruction; others take a few). Indices are
not checked and do not count from the end: that, too, would cost more than the work itself.
"""

import operator
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships no type information
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model
from numpy.typing import NDArray

from ser_store.voting.compiled.jit import compiled

WIDTH = 8

_WORD = ir.IntType(64)
_BYTE = ir.IntType(8)
_VECTOR = ir.VectorType(_WORD, WIDTH)


class LanesType(types.Type):  # type: ignore[misc]  # numba ships no type information
    """The type of a vector of 512 bits, of words of so many."""

    def __init__(self, bits: int) -> None:
        super().__init__(name=f"Lanes{bits}")
        self.vector = ir.VectorType(ir.IntType(bits), 512 // bits)


class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]  # as above
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, frontend_type.vector)


LANES, SHORTS = LanesType(64), LanesType(16)
register_model(LanesType)(_LanesModel)


def _lanes_of(array: Any) -> LanesType:
    return SHORTS if array.dtype == types.int16 else LANES


def _address(context: Any, builder: Any, sig: Any, args: Any, *, of: Any = None) -> Any:
    """Return where element ``args[1]`` of array ``args[0]`` is, as a pointer to ``of``."""
    pointer = builder.gep(context.make_array(sig.args[0])(context, builder, args[0]).data, [args[1]])
    return pointer if of is None else builder.bitcast(pointer, of.as_pointer())


def _repeat(builder: Any, word: Any) -> Any:
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), word, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Return eight words of ``array`` from ``index`` on; of int16 32."""
    vector = sig.return_type.vector
    return builder.load(_address(context, builder, sig, args, of=vector), align=vector.element.width // 8)


def _load_bytes(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Return eight bytes of ``array`` from ``index`` on, one to a word."""
    pointer = _address(context, builder, sig, args, of=ir.VectorType(_BYTE, WIDTH))
    return builder.zext(builder.load(pointer, align=1), _VECTOR)


def _store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Put ``lanes`` into ``array`` from ``index`` on."""
    vector = sig.args[2].vector
    builder.store(args[2], _address(context, builder, sig, args, of=vector), align=vector.element.width // 8)
    return context.get_dummy_value()


def _get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Return the element of ``array`` at ``index``."""
    return builder.load(_address(context, builder, sig, args))


def _put(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Set the element of ``array`` at ``index``."""
    builder.store(args[2], _address(context, builder, sig, args))
    return context.get_dummy_value()


def _increment(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Add 1 to the 64-bit element of ``array`` at ``index``."""
    pointer = _address(context, builder, sig, args)
    builder.store(builder.add(builder.load(pointer), ir.Constant(_WORD, 1)), pointer)
    return context.get_dummy_value()


def _broadcast(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Return the element of ``array`` at ``index``, eight times."""
    return _repeat(builder, builder.load(_address(context, builder, sig, args)))


def _splat(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    """Return ``word``, eight times."""
    return _repeat(builder, args[0])


def _shift_left(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    """Return every word of ``lanes`` times ``2**bits``."""
    return builder.shl(args[0], _repeat(builder, args[1]))


def _shift_right(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    """Return every word of ``lanes`` divided by ``2**bits``."""
    return builder.lshr(args[0], _repeat(builder, args[1]))


def _equals(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    """Return 1 in every word of ``lanes`` that equals ``word``, else 0."""
    return builder.zext(builder.icmp_unsigned("==", args[0], _repeat(builder, args[1])), _VECTOR)


def _find_reaching(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    """Return the lanes that are at least ``word``, as the bits of a word, lane 0 the lowest."""
    reaching = builder.icmp_unsigned(">=", args[0], _repeat(builder, args[1]))
    return builder.zext(builder.bitcast(reaching, _BYTE), _WORD)


def _find_negative(_context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Return the lanes that are below 0 as signed words, as the bits of a word, lane 0 the lowest."""
    vector = sig.args[0].vector
    negative = builder.icmp_signed("<", args[0], ir.Constant(vector, [0] * vector.count))
    return builder.zext(builder.bitcast(negative, ir.IntType(vector.count)), _WORD)


def _find_lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    """Return the lower of both in every lane, as signed words."""
    return builder.select(builder.icmp_signed("<", *args), *args)


def _count_negative(_context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Return ``counts``, with 1 added in every lane that is below 0 as a signed word."""
    vector = sig.args[1].vector
    bits = vector.element.width - 1
    return builder.add(args[0], builder.lshr(args[1], ir.Constant(vector, [bits] * vector.count)))


def _find_first(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    """Return the number of the lowest bit that is set."""
    return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))


def _count_bits(_context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Return the number of bits that are set in every word of ``lanes``, or in a single word."""
    if sig.args[0] != LANES:
        return builder.ctpop(args[0])
    signature_of = ir.FunctionType(_VECTOR, [_VECTOR])
    return builder.call(get_or_insert_function(builder.module, signature_of, f"llvm.ctpop.v{WIDTH}i64"), args)


# What each takes and gives.
load: Any = intrinsic(lambda _typing, array, _index: (_lanes_of(array)(array, types.int64), _load))
load_bytes: Any = intrinsic(lambda _typing, array, _index: (LANES(array, types.int64), _load_bytes))
store: Any = intrinsic(lambda _typing, array, _index, lanes: (types.void(array, types.int64, lanes), _store))
get: Any = intrinsic(lambda _typing, array, _index: (array.dtype(array, types.int64), _get))
put: Any = intrinsic(lambda _typing, array, _index, _element: (types.void(array, types.int64, array.dtype), _put))
increment: Any = intrinsic(lambda _typing, array, _index: (types.void(array, types.int64), _increment))
broadcast: Any = intrinsic(lambda _typing, array, _index: (LANES(array, types.int64), _broadcast))
splat: Any = intrinsic(lambda _typing, _word: (LANES(types.uint64), _splat))
shift_left: Any = intrinsic(lambda _typing, _lanes, _bits: (LANES(LANES, types.uint64), _shift_left))
shift_right: Any = intrinsic(lambda _typing, _lanes, _bits: (LANES(LANES, types.uint64), _shift_right))
equals: Any = intrinsic(lambda _typing, _lanes, _word: (LANES(LANES, types.uint64), _equals))
find_first: Any = intrinsic(lambda _typing, _word: (types.int64(types.uint64), _find_first))
find_negative: Any = intrinsic(lambda _typing, lanes: (types.uint64(lanes), _find_negative))
find_lower: Any = intrinsic(lambda _typing, _one, _other: (SHORTS(SHORTS, SHORTS), _find_lower))
count_negative: Any = intrinsic(lambda _typing, _counts, _lanes: (SHORTS(SHORTS, SHORTS), _count_negative))
find_reaching: Any = intrinsic(lambda _typing, _lanes, _word: (types.uint64(LANES, types.uint64), _find_reaching))
count_bits: Any = intrinsic(
    lambda _typing, lanes: (LANES(LANES) if lanes == LANES else types.uint64(types.uint64), _count_bits)
)


def _define_operator(operation: Any, instruction: str, n_operands: int) -> None:
    """Let ``operation`` of the operator module work on lanes by an ``instruction`` of the compiler's."""
    kinds = [(lanes,) * n_operands for lanes in (LANES, SHORTS)]

    class Template(AbstractTemplate):  # type: ignore[misc]  # as above
        def generic(self, args: Any, kws: Any) -> Any:
            return signature(args[0], *args) if args in kinds else None

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)

    infer_global(operation)(Template)
    for operands in kinds:
        lower_builtin(operation, *operands)(lower)


_define_operator(operator.and_, "and_", 2)
_define_operator(operator.or_, "or_", 2)
_define_operator(operator.add, "add", 2)
_define_operator(operator.sub, "sub", 2)
_define_operator(operator.invert, "not_", 1)


@compiled
def count_common_bits(words: NDArray[np.uint64], place: int) -> int:
    """Put into each of eight words how many bits it has in common with that at ``place``; return which have one."""
    common = count_bits(load(words, 0) & broadcast(words, place))
    store(words, 0, common)
    return int(find_reaching(common, np.uint64(1)))
