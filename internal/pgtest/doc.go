// Package pgtest gives each test a PostgreSQL database of its own, in a few
// tens of milliseconds, from a template that is built once.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	var schema = pgtest.Template{Name: "weir", Version: migrations.Hash(), Build: migrations.Up}
//
//	func TestCommit(t *testing.T) {
//		t.Parallel()
//		pool := pgtest.New(t, schema).Pool(t)
//		...
//	}
//
// # The server
//
// Each test binary runs a server of its own, started by the first test that
// asks for a database and gone when Main returns. So packages tested side by
// side cannot disturb one another, a test that crashes its server harms no
// other package, and there is no daemon whose end must be arranged. If the
// binary dies, be it by a panic, a timeout or SIGKILL, its server stops by
// itself (see devpg), and the next test binary of the same user removes the
// folder.
//
// The server runs without fsync and full page writes, so that a crash of the
// machine would spoil it; a commit is a commit all the same, for
// synchronous_commit stays on. There is no autovacuum: plans and timings do
// not depend on when it comes by.
//
// WEIR_TEST_DSN names a server to use instead, by a role that may create
// databases. Test binaries then share it, and its templates: who is first
// builds, the others wait. Databases of a binary that died are dropped by the
// next one; templates are kept for the next run.
//
// # What it costs
//
// Measured on 2 cores, PostgreSQL 15, race detector off:
//
//	once for each machine and version of PostgreSQL   0.7 to 1.5 s   initdb, kept in the cache folder
//	once for each test binary, start and stop         0.2 s          40 MB copied, server started, all removed
//	once for each test binary and template            Build and 20 ms
//	for each test, copy, connect and drop             20 to 25 ms    16 to 20 ms each for tests in parallel
//
// A live database takes 8 MB and its content. All of it is in memory if /dev/shm
// has 1 GiB to spare and TMPDIR is not set, else on disk, which is slower where
// the file system is slow to make files: 300 for each database.
package pgtest
