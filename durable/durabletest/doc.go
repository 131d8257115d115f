// Package durabletest tests orchestrations in memory, without a database and in virtual time: a timer of thirty days
// is over in milliseconds, and a test that waits for an event that nobody raises fails at once and says so.
//
//	func TestApprovalRunsOut(t *testing.T) {
//		env := durabletest.New(t,
//			Approve.Handler(approve),
//			Notify.Handler(func(context.Context, string) (durable.None, error) { return durable.None{}, nil }), // a fake
//		)
//		run := durabletest.Start(env, Approve, order)
//		run.After(29*24*time.Hour, func() {
//			if run.State().Status != "RUNNING" {
//				t.Error("it did not wait")
//			}
//		})
//		if _, err := run.Await(); !errors.Is(err, ErrNotApproved) {
//			t.Errorf("got %v", err)
//		}
//	}
//
// A fake is a handler like any other. Of several handlers for the same definition the last one counts, so a test can
// take the handlers of the program and add fakes for what it does not want to run. A TxHandler and a RiverHandler need
// a database, and so need a fake here.
//
// # What it runs
//
// The orchestrations run on the engine's own code: what a turn takes in, what decisions mean and what becomes of them
// is computed by the same functions as in a worker, and a test of this package shows that the same programs leave the
// same histories on Postgres. It is stricter than a worker in one respect: after each turn the code is run anew from
// the history, so that code that does not repeat itself (it asks for the time, ranges over a map) is found. Such an
// instance is held, and Await fails the test with the step at which code and history part.
//
// # Time
//
// The clock begins at midnight UTC on the 1st of January 2000. It stands still while code runs, and jumps to what is
// due next when nothing does: a timer, another attempt at an activity, the delayed start of an instance, a function
// given to After. Activities take no time, unless they call Sleep: that lets the clock go on. A Timeout of an activity
// ends its context in virtual time too.
//
// Activities run in goroutines of their own. What they return arrives once all that run have ended or sleep, in the
// order in which they were called, so a test does the same each time.
package durabletest
