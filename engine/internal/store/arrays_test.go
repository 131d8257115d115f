package store

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// connect gives the test a connection like a lane's, on a migrated database.
func connect(t *testing.T) (*pgx.Conn, *pgxpool.Pool) {
	t.Helper()
	pool := weirtest.Pool(t)
	conn, err := NewDB(pool.Config(), "weir", "river").Connect(t.Context(), "test", Pinned())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn, pool
}

// TestArrays sends arrays through Postgres: what comes back, and what the server saw as text, is what was sent.
func TestArrays(t *testing.T) {
	conn, _ := connect(t)
	roundTrip(t, conn, "smallint", []int16{0, 1, -1, 32767, -32768}, "{0,1,-1,32767,-32768}", slices.Equal)
	roundTrip(t, conn, "integer", []int32{7, -2147483648}, "{7,-2147483648}", slices.Equal)
	roundTrip(t, conn, "bigint", []int64{9223372036854775807, -1}, "{9223372036854775807,-1}", slices.Equal)
	roundTrip(t, conn, "text", []string{"", "a b", `"{},\`, "ü"}, `{"","a b","\"{},\\",ü}`, slices.Equal)
	roundTrip(t, conn, "bytea", [][]byte{{}, nil, {0, 255}, []byte("x")}, `{"\\x",NULL,"\\x00ff","\\x78"}`,
		func(a, b [][]byte) bool {
			return slices.EqualFunc(a, b, func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) })
		})
	roundTrip(t, conn, "jsonb", [][]byte{[]byte(`{"a": 1}`), nil, []byte(`"x"`)}, `{"{\"a\": 1}",NULL,"\"x\""}`,
		func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) })
	day := time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	roundTrip(t, conn, "timestamptz", []time.Time{day, day.Add(time.Hour)}, `{"1999-12-31 23:59:59.999999+00","2000-01-01 00:59:59.999999+00"}`,
		func(a, b []time.Time) bool { return slices.EqualFunc(a, b, time.Time.Equal) })
	large := []string{strings.Repeat("x", 100_000), "y"}
	roundTrip(t, conn, "text", large, "{"+strings.Join(large, ",")+"}", slices.Equal)
	roundTrip(t, conn, "bigint", []int64{}, "{}", slices.Equal)
	var isNull bool
	if err := conn.QueryRow(t.Context(), "SELECT $1::bigint[] IS NULL", []int64(nil)).Scan(&isNull); err != nil || !isNull {
		t.Errorf("a nil slice is NULL: %v, %v", isNull, err)
	}
}

func roundTrip[T any](t *testing.T, conn *pgx.Conn, kind string, in []T, text string, equal func(a, b []T) bool) {
	t.Helper()
	var (
		out  []T
		seen string
	)
	err := conn.QueryRow(t.Context(), "SELECT $1::"+kind+"[], $1::"+kind+"[]::text", in).Scan(&out, &seen)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if !equal(in, out) || seen != text {
		t.Errorf("%s: %v came back as %v, the server saw %.80s", kind, in, out, seen)
	}
}
