package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

const (
	// operationsEvery is how often a node looks for operations that nobody runs, besides the moments at which it is told.
	operationsEvery = 5 * time.Second
	// operationsAtOnce is how many a node runs at a time.
	operationsAtOnce = 4
	// operationPage is how many instances are acted on between two looks at the operation.
	operationPage = 100
	// patience is how often a page is tried because of something that is nobody's fault, before an instance at which it
	// fails still is refused.
	patience = 3
	// longestRest bounds the rest after a failure.
	longestRest = 30 * time.Second
	// maxMatched and countTime bound what is counted when an operation begins.
	maxMatched = 1_000_000
	countTime  = 5 * time.Second
)

// errNotOurs ends a run: the operation does not run any more, or another node has it.
var errNotOurs = errors.New("the operation is no longer this node's to run")

// poke makes a channel that holds one signal hold it.
func poke(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// rest waits for so long, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	alarm := time.NewTimer(d)
	defer alarm.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-alarm.C:
		return nil
	}
}

// runOperations runs operations that nobody else runs, until ctx ends.
func (n *Node) runOperations(ctx context.Context) error {
	tick := time.NewTicker(operationsEvery)
	defer tick.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	mine := map[int64]bool{} // those that are run here
	over := make(chan int64, operationsAtOnce)
	for {
		for len(mine) < operationsAtOnce {
			row, err := n.e.q.ClaimOperation(ctx, n.e.pool, store.ClaimOperationParams{Me: n.no, Mine: slices.AppendSeq([]int64{}, maps.Keys(mine))})
			if errors.Is(err, pgx.ErrNoRows) {
				break
			}
			if err != nil {
				n.warn(ctx, "look for operations", err)
				break
			}
			mine[row.No] = true
			n.operating.Add(1)
			work.Go(func() {
				n.runOperation(ctx, row)
				over <- row.No // there is room for all of them
			})
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.operationsNoted:
		case no := <-over:
			delete(mine, no)
			n.operating.Add(-1)
		case <-tick.C:
		}
	}
}

// operationRun is an operation in the hands of this node.
type operationRun struct {
	n    *Node
	row  store.BatchOperation
	o    *Operation
	page []target
	// tries counts how often the page was begun, failures how often that, or anything else, did not work since a page did.
	tries    int
	failures int
	pace     pace
}

// target is an instance to be acted on, as it was when the operation came to it.
type target struct {
	No        int64     `json:"no"`
	ID        string    `json:"id"`
	Gen       int       `json:"gen"`
	CreatedAt time.Time `json:"at"`
}

// runOperation goes from page to page, until all is done or it is no longer this node's.
func (n *Node) runOperation(ctx context.Context, row store.BatchOperation) {
	r := &operationRun{n: n, row: row}
	err := r.run(ctx)
	switch {
	case ctx.Err() != nil: // whoever comes next sees that this node has gone
		return
	case errors.Is(err, errOver):
		n.log.InfoContext(ctx, "an operation is over", logkey.Operation, row.ID)
		return
	case errors.Is(err, errNotOurs):
		err = n.e.q.ReleaseOperation(ctx, n.e.pool, store.ReleaseOperationParams{No: row.No, Owner: n.no, Claim: row.Claim})
	default:
		n.warn(ctx, "an operation has failed", fmt.Errorf("%s: %w", row.ID, err))
		err = n.e.q.FailOperation(ctx, n.e.pool, store.FailOperationParams{Error: printable(err.Error()), No: row.No, Owner: n.no, Claim: row.Claim})
	}
	if err != nil { // it is claimed again, and then found to be over, or goes on
		n.warn(ctx, "let go of an operation", err)
	}
}

// run returns errOver, errNotOurs, the error of ctx, or one that would come again.
func (r *operationRun) run(ctx context.Context) error {
	for {
		began := time.Now()
		acted, err := r.step(ctx)
		took := time.Since(began)
		switch {
		case err == nil:
			err = r.n.rest(ctx, r.pace.restAfter(took, acted, r.o.PerSecond))
		case errors.Is(err, errOver), errors.Is(err, errNotOurs), ctx.Err() != nil, isRefusal(err):
			return err
		default:
			r.failures++
			r.n.warn(ctx, "run operation", fmt.Errorf("%s: %w", r.row.ID, err))
			err = r.n.rest(ctx, min(time.Second<<min(r.failures, 10), longestRest))
		}
		if err != nil {
			return err
		}
	}
}

// errOver ends a run that has come to the end.
var errOver = errors.New("the operation is over")

// pace finds out how long to rest after a page, so that who works is not disturbed.
type pace struct {
	best time.Duration // what an instance takes when nobody else works
}

// restAfter is how long to rest after a page that took so long. Half of the time is left to others; more of it, up to four
// fifths, when a page takes longer than it did, for then others are at work. Of the instances there are no more than
// asked for in a second, 0 for any number.
func (p *pace) restAfter(took time.Duration, acted, perSecond int) time.Duration {
	if acted == 0 {
		return 0
	}
	each := took / time.Duration(acted)
	if p.best == 0 || each < p.best {
		p.best = each
	}
	out := time.Duration(float64(took) * min(max(float64(each)/float64(max(p.best, 1))-0.5, 1), 4))
	p.best += p.best / 100 // what comes next may be larger
	if perSecond > 0 {
		out = max(out, time.Duration(acted)*time.Second/time.Duration(perSecond)-took)
	}
	return out
}

// isRefusal tells whether an error is about what was asked for, so that it would come again.
func isRefusal(err error) bool {
	var coded *Error
	return errors.As(err, &coded) && coded.Code != CodeUnavailable && coded.Code != CodeTimeout && coded.Code != CodeInternal
}

// open reads what was stored, and counts what there is to do.
func (r *operationRun) open(ctx context.Context) error {
	hub, err := r.n.e.hubByNo(ctx, r.row.Hub)
	if err != nil {
		return err
	}
	o, err := readOperation(hub, r.row)
	if err != nil { // written by a newer version, or by hand
		return invalid("", "%s", err)
	}
	if r.row.Page != nil {
		if err := json.Unmarshal(r.row.Page, &r.page); err != nil || len(r.page) == 0 {
			return invalid("page", "cannot be read")
		}
	}
	r.o = o
	if r.row.CursorNo == nil && r.row.Matched == nil && r.page == nil {
		r.count(ctx)
	}
	return nil
}

// filter selects what the operation has not come to yet.
func (r *operationRun) filter() Filter {
	f := r.o.Filter
	if f.CreatedTo.IsZero() || f.CreatedTo.After(r.row.CreatedAt) {
		f.CreatedTo = r.row.CreatedAt
	}
	return f
}

// count notes how many instances there are, unless they are too many for that.
func (r *operationRun) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	counts, exact, err := r.n.e.Counts(ctx, r.o.Hub, r.filter(), maxMatched)
	if err != nil || !exact {
		return
	}
	var total int64
	for _, n := range counts {
		total += n
	}
	err = r.n.e.q.SetOperationMatched(ctx, r.n.e.pool, store.SetOperationMatchedParams{Matched: total, No: r.row.No, Owner: r.n.no, Claim: r.row.Claim})
	if err != nil {
		r.n.warn(ctx, "count what an operation is about", err)
	}
}

// step acts on one page: the one that was begun, or the next. It returns how many instances that was.
func (r *operationRun) step(ctx context.Context) (int, error) {
	if r.o == nil {
		if err := r.open(ctx); err != nil {
			return 0, err
		}
	}
	if r.page == nil {
		if err := r.next(ctx); err != nil {
			return 0, err
		}
	}
	if err := r.begin(ctx); err != nil {
		return 0, err
	}
	acted := len(r.page)
	var refusals []Refusal
	if acted > 0 {
		r.tries++
		var err error
		if refusals, err = r.act(ctx); err != nil {
			return 0, err
		}
	}
	err := r.advance(ctx, refusals, acted == 0)
	if err == nil {
		r.tries, r.failures = 0, 0
	}
	return acted, err
}

// next chooses the next page.
func (r *operationRun) next(ctx context.Context) error {
	page := Page{Limit: operationPage, Ascending: true}
	if r.o.PerSecond > 0 {
		page.Limit = min(page.Limit, r.o.PerSecond)
	}
	if r.row.CursorNo != nil {
		page.After = &Position{*r.row.CursorAt, *r.row.CursorNo}
	}
	found, err := r.n.e.List(ctx, r.o.Hub, r.filter(), page)
	if err != nil {
		return err
	}
	r.page = make([]target, len(found))
	for n, i := range found {
		r.page[n] = target{i.no, i.ID, i.Generation, i.CreatedAt}
	}
	return nil
}

// begin writes the page down, so that whoever comes after a crash knows what was begun, unless the operation does not run
// any more.
func (r *operationRun) begin(ctx context.Context) error {
	var doc []byte
	if len(r.page) > 0 {
		var err error
		if doc, err = json.Marshal(r.page); err != nil {
			return fmt.Errorf("begin page: %w", err)
		}
	}
	n, err := r.n.e.q.BeginOperationPage(ctx, r.n.e.pool, store.BeginOperationPageParams{Page: doc, No: r.row.No, Owner: r.n.no, Claim: r.row.Claim})
	if err != nil {
		return fmt.Errorf("begin page: %w", err)
	}
	if n == 0 {
		return errNotOurs
	}
	return nil
}

// advance stores what became of the page. An empty one was the last.
func (r *operationRun) advance(ctx context.Context, refusals []Refusal, last bool) error {
	q, pool := r.n.e.q, r.n.e.pool
	p := store.AdvanceOperationParams{
		NExamined: int64(len(r.page)), NDone: int64(len(r.page) - len(refusals)), NRefused: int64(len(refusals)), Last: last,
		No: r.row.No, Owner: r.n.no, Claim: r.row.Claim, CursorAt: r.row.CursorAt, CursorNo: r.row.CursorNo,
	}
	if len(r.page) > 0 {
		end := r.page[len(r.page)-1]
		p.CursorAt, p.CursorNo = &end.CreatedAt, &end.No
	}
	var after store.AdvanceOperationRow
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var err error
		if after, err = q.AdvanceOperation(ctx, tx, p); err != nil {
			return err
		}
		in := store.InsertRefusalsParams{Operation: r.row.No}
		for n, refused := range refusals {
			if at := after.Refused - p.NRefused + int64(n); at < maxRefusals {
				in.Ns = append(in.Ns, int32(at))
				in.Instances = append(in.Instances, refused.ID)
				in.Codes = append(in.Codes, string(CodeOf(refused.Err)))
				in.Messages = append(in.Messages, printable(refused.Err.Error()))
			}
		}
		if len(in.Ns) == 0 {
			return nil
		}
		return q.InsertRefusals(ctx, tx, in)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return errNotOurs
	case err != nil:
		return fmt.Errorf("store progress: %w", err)
	}
	r.row.CursorAt, r.row.CursorNo, r.page = p.CursorAt, p.CursorNo, nil
	switch OperationState(after.State) {
	case OperationRunning:
		return nil
	case OperationDone:
		return errOver
	}
	return errNotOurs
}

// found are the page's instances that are still there.
func (r *operationRun) found(ctx context.Context) (map[int64]store.FindInstancesRow, error) {
	nos := make([]int64, len(r.page))
	for n, t := range r.page {
		nos[n] = t.No
	}
	rows, err := r.n.e.q.FindInstancesByNo(ctx, r.n.e.pool, nos)
	if err != nil {
		return nil, fmt.Errorf("find instances: %w", err)
	}
	out := make(map[int64]store.FindInstancesRow, len(rows))
	for _, row := range rows {
		out[row.No] = store.FindInstancesRow(row)
	}
	return out, nil
}

// wanted is the status that an operation of this kind leaves behind for good.
func (k OperationKind) wanted() (history.Status, bool) {
	switch k {
	case OperationTerminate:
		return history.Terminated, true
	case OperationCancel:
		return history.Canceled, true
	}
	return 0, false
}
