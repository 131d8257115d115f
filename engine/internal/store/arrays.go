package store

import (
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// A batch's parameters are arrays of a few types, with an element or more for each unit. pgx encodes them
// element by element through interfaces, an allocation or two for each; these codecs write them in one go into
// a buffer of the right size. That halves what a batch costs this process. Everything else is still pgx's.

// registerArrays teaches a connection the codecs.
func registerArrays(m *pgtype.Map) {
	registerArray(m, "_int2", pgtype.Int2ArrayOID, pgtype.Int2OID, func([]int16) int { return 2 },
		func(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(sized(b, 2), uint16(v)) })
	registerArray(m, "_int4", pgtype.Int4ArrayOID, pgtype.Int4OID, func([]int32) int { return 4 },
		func(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(sized(b, 4), uint32(v)) })
	registerArray(m, "_int8", pgtype.Int8ArrayOID, pgtype.Int8OID, func([]int64) int { return 8 },
		func(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(sized(b, 8), uint64(v)) })
	registerArray(m, "_text", pgtype.TextArrayOID, pgtype.TextOID, func(v []string) int { return total(v)/len(v) + 1 },
		func(b []byte, v string) []byte { return append(sized(b, len(v)), v...) })
	registerArray(m, "_bytea", pgtype.ByteaArrayOID, pgtype.ByteaOID, func(v [][]byte) int { return total(v)/len(v) + 1 },
		func(b, v []byte) []byte {
			if v == nil {
				return binary.BigEndian.AppendUint32(b, null)
			}
			return append(sized(b, len(v)), v...)
		})
	registerArray(m, "_jsonb", pgtype.JSONBArrayOID, pgtype.JSONBOID, func(v [][]byte) int { return total(v)/len(v) + 2 },
		func(b, v []byte) []byte {
			if v == nil {
				return binary.BigEndian.AppendUint32(b, null)
			}
			const version = 1
			return append(append(sized(b, len(v)+1), version), v...)
		})
	registerArray(m, "_timestamptz", pgtype.TimestamptzArrayOID, pgtype.TimestamptzOID, func([]time.Time) int { return 8 },
		func(b []byte, v time.Time) []byte {
			return binary.BigEndian.AppendUint64(sized(b, 8), uint64(v.UnixMicro()-postgresEpoch))
		})
}

// postgresEpoch is the beginning of the year 2000, from which Postgres counts, in microseconds since 1970.
const postgresEpoch = 946_684_800_000_000

const null = 0xffffffff

func sized(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }

func total[T string | []byte](values []T) (n int) {
	for _, v := range values {
		n += len(v)
	}
	return n
}

// registerArray replaces the codec of an array type for Go slices of T. mean is the mean size of an element;
// add appends one with its length.
func registerArray[T any](m *pgtype.Map, name string, oid, element uint32, mean func([]T) int, add func([]byte, T) []byte) {
	of, ok := m.TypeForOID(element)
	if !ok {
		return
	}
	m.RegisterType(&pgtype.Type{Name: name, OID: oid, Codec: &sliceCodec[T]{
		ArrayCodec: &pgtype.ArrayCodec{ElementType: of}, element: element, mean: mean, add: add,
	}})
}

type sliceCodec[T any] struct {
	*pgtype.ArrayCodec
	element uint32
	mean    func([]T) int
	add     func([]byte, T) []byte
}

// PlanEncode implements pgtype.Codec.
func (c *sliceCodec[T]) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.([]T); ok && format == pgtype.BinaryFormatCode {
		return c
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// Encode implements pgtype.EncodePlan: the number of dimensions, whether there are nulls, the elements' type,
// their number, the lower bound, and the elements.
func (c *sliceCodec[T]) Encode(value any, b []byte) ([]byte, error) {
	values := value.([]T)
	if values == nil {
		return nil, nil
	}
	dimensions := uint32(1)
	size := 20
	if len(values) == 0 {
		dimensions = 0
	} else {
		size += len(values) * (4 + c.mean(values))
	}
	if free := cap(b) - len(b); free < size {
		b = append(make([]byte, 0, len(b)+size), b...)
	}
	b = binary.BigEndian.AppendUint32(b, dimensions)
	b = binary.BigEndian.AppendUint32(b, 1) // "may hold nulls" is only a hint
	b = binary.BigEndian.AppendUint32(b, c.element)
	if dimensions == 0 {
		return b, nil
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(values)))
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, v := range values {
		b = c.add(b, v)
	}
	return b, nil
}
