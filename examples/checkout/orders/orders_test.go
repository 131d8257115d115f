package orders_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/checkout/orders"
	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var (
	lamp  = orders.Item{Name: "lamp", Grams: 900, Price: 49_90}
	table = orders.Item{Name: "table", Grams: 24_000, Price: 199_00}
	piano = orders.Item{Name: "piano", Grams: 210_000, Price: 2_400_00}
)

// van is a courier that keeps a book, and waits with each parcel until it may go.
type van struct {
	orders.Bicycle
	asked  chan string   // receives each item that is to be shipped
	gone   chan struct{} // parcels go when this yields, or is closed
	called chan string   // receives each tracking number that is to be recalled
	back   chan struct{} // parcels come back when this yields, or is closed

	mu       sync.Mutex
	loading  int
	most     int // that were loaded at once
	shipped  []string
	recalled []string
}

func newVan() *van {
	v := &van{
		asked: make(chan string, 100), gone: make(chan struct{}), called: make(chan string, 100), back: make(chan struct{}),
	}
	close(v.gone)
	close(v.back)
	return v
}

func (v *van) load(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loading += n
	v.most = max(v.most, v.loading)
}

func (v *van) Ship(ctx context.Context, p orders.Parcel) (string, error) {
	v.load(1)
	defer v.load(-1)
	v.asked <- p.Item.Name
	select {
	case <-v.gone:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	tracking, err := v.Bicycle.Ship(ctx, p)
	if err == nil {
		v.mu.Lock()
		v.shipped = append(v.shipped, tracking)
		v.mu.Unlock()
	}
	return tracking, err
}

func (v *van) Recall(ctx context.Context, tracking string) error {
	v.called <- tracking
	select {
	case <-v.back:
	case <-ctx.Done():
		return ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.recalled = append(v.recalled, tracking)
	return nil
}

func setup(t *testing.T) *harness.Harness {
	t.Helper()
	t.Parallel()
	h := harness.New(t)
	if err := orders.CreateTables(h.Ctx, h.Pool); err != nil {
		t.Fatal(err)
	}
	return h
}

const id = "order-1"

// place places an order of Ada's, who pays in what she has to pay.
func place(t *testing.T, h *harness.Harness, o orders.Order) *durable.Instance[orders.Receipt] {
	t.Helper()
	o.Customer = "Ada"
	if o.ApproveWithin == 0 {
		o.ApproveWithin = time.Hour
	}
	if err := orders.Place(h.Ctx, h.Pool, h.Client, id, o, o.Total(), nil); err != nil {
		t.Fatal(err)
	}
	return orders.Checkout.Instance(h.Client, id)
}

func at(t *testing.T, h *harness.Harness, i *durable.Instance[orders.Receipt], stage string) {
	t.Helper()
	harness.Reaches(h, i, "it is "+stage, func(s orders.Status) bool { return s.Stage == stage })
}

// books checks what the shop's tables say: how many bookings there are for the order, what they add up to, and
// what Ada has left.
func books(t *testing.T, h *harness.Harness, bookings int64, net, wallet orders.Cents) {
	t.Helper()
	if n := h.Number("SELECT count(*) FROM shop.charges WHERE order_id = $1", id); n != bookings {
		t.Errorf("%d bookings, want %d", n, bookings)
	}
	if n := h.Number("SELECT coalesce(sum(cents), 0)::bigint FROM shop.charges"); n != int64(net) {
		t.Errorf("the shop has %d cents, want %d", n, net)
	}
	if n := h.Number("SELECT cents FROM shop.wallets WHERE customer = 'Ada'"); n != int64(wallet) {
		t.Errorf("Ada has %d cents, want %d", n, wallet)
	}
}

var yes = orders.Decision{By: "Olu", Approved: true}

func TestCheckout(t *testing.T) {
	t.Parallel()
	t.Run("ApprovedChargedAndShipped", func(t *testing.T) {
		h, v := setup(t), newVan()
		h.Worker(orders.Handlers(v)...)
		order := orders.Order{Items: []orders.Item{lamp, table, lamp, lamp, table}}
		inst := place(t, h, order)
		at(t, h, inst, orders.WaitingForApproval)
		books(t, h, 0, 0, order.Total())
		harness.Raise(h, orders.Decided, id, yes)
		receipt, err := inst.Wait(h.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		if receipt.Paid != 547_70 || receipt.ApprovedBy != "Olu" || len(receipt.Tracking) != 5 {
			t.Errorf("got %+v", receipt)
		}
		slices.Sort(v.shipped)
		slices.Sort(receipt.Tracking)
		if !slices.Equal(v.shipped, receipt.Tracking) || len(slices.Compact(v.shipped)) != 5 {
			t.Errorf("shipped %v, the receipt says %v", v.shipped, receipt.Tracking)
		}
		books(t, h, 1, 547_70, 0)
		at(t, h, inst, orders.Shipped)
	})
	t.Run("AtMostThreeParcelsAtOnce", func(t *testing.T) {
		h, v := setup(t), newVan()
		v.gone = make(chan struct{})
		h.Worker(orders.Handlers(v)...)
		inst := place(t, h, orders.Order{Items: []orders.Item{lamp, lamp, lamp, lamp, lamp}})
		harness.Raise(h, orders.Decided, id, yes)
		for range 3 {
			<-v.asked
		}
		v.gone <- struct{}{} // one goes
		<-v.asked            // the next one comes
		close(v.gone)
		if _, err := inst.Wait(h.Ctx); err != nil {
			t.Fatal(err)
		}
		if v.most != 3 {
			t.Errorf("%d parcels at once", v.most)
		}
	})
	t.Run("ExpiresUndecided", func(t *testing.T) {
		h := setup(t)
		h.Worker(orders.Handlers(newVan())...)
		order := orders.Order{Items: []orders.Item{lamp}, ApproveWithin: 50 * time.Millisecond}
		_, err := place(t, h, order).Wait(h.Ctx)
		if !errors.Is(err, orders.ErrExpired) {
			t.Errorf("got %v", err)
		}
		if err := orders.Decided.Raise(h.Ctx, h.Client, id, yes); !errors.Is(err, durable.ErrFinished) {
			t.Errorf("a late decision: got %v", err)
		}
		books(t, h, 0, 0, order.Total())
	})
	t.Run("Rejected", func(t *testing.T) {
		h := setup(t)
		h.Worker(orders.Handlers(newVan())...)
		inst := place(t, h, orders.Order{Items: []orders.Item{lamp}})
		harness.Raise(h, orders.Decided, id, orders.Decision{By: "Nils", Reason: "no such street"})
		_, err := inst.Wait(h.Ctx)
		if !errors.Is(err, orders.ErrRejected) {
			t.Errorf("got %v", err)
		}
		if want := "instance order-1 failed: rejected by Nils: no such street"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		books(t, h, 0, 0, lamp.Price)
	})
	t.Run("InsufficientFunds", func(t *testing.T) {
		h, v := setup(t), newVan()
		h.Worker(orders.Handlers(v)...)
		order := orders.Order{Customer: "Ada", Items: []orders.Item{lamp}, ApproveWithin: time.Hour}
		if err := orders.Place(h.Ctx, h.Pool, h.Client, id, order, lamp.Price-1, nil); err != nil {
			t.Fatal(err)
		}
		harness.Raise(h, orders.Decided, id, yes)
		_, err := orders.Checkout.Instance(h.Client, id).Wait(h.Ctx)
		if !errors.Is(err, orders.ErrNoFunds) {
			t.Errorf("got %v", err)
		}
		books(t, h, 0, 0, lamp.Price-1)
		if len(v.asked) != 0 {
			t.Error("a parcel was shipped")
		}
	})
	t.Run("FailedShipmentIsCompensated", func(t *testing.T) {
		h, v := setup(t), newVan()
		h.Worker(orders.Handlers(v)...)
		order := orders.Order{Items: []orders.Item{lamp, piano, table, lamp}}
		inst := place(t, h, order)
		harness.Raise(h, orders.Decided, id, yes)
		_, err := inst.Wait(h.Ctx)
		if !errors.Is(err, orders.ErrUndeliverable) {
			t.Errorf("got %v", err)
		}
		books(t, h, 2, 0, order.Total())
		slices.Sort(v.shipped)
		slices.Sort(v.recalled)
		if len(v.shipped) != 3 || !slices.Equal(v.shipped, v.recalled) {
			t.Errorf("shipped %v, recalled %v", v.shipped, v.recalled)
		}
		at(t, h, inst, orders.Refunded)
	})
	t.Run("TheClerkDecides", func(t *testing.T) {
		h := setup(t)
		h.Worker(orders.Handlers(newVan())...)
		inst := place(t, h, orders.Order{Items: []orders.Item{lamp}})
		desk := orders.Case{Order: id, Decision: yes, After: time.Millisecond}
		if _, err := orders.Clerk.Start(h.Ctx, h.Client, desk); err != nil {
			t.Fatal(err)
		}
		if r, err := inst.Wait(h.Ctx); err != nil || r.ApprovedBy != "Olu" {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	t.Run("PlacedWithTheMoneyOrNotAtAll", func(t *testing.T) {
		h := setup(t)
		order := orders.Order{Customer: "Ada", Items: []orders.Item{lamp}, ApproveWithin: time.Hour}
		full := errors.New("the shop is full")
		err := orders.Place(h.Ctx, h.Pool, h.Client, id, order, 100, func(pgx.Tx) error { return full })
		if !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
		if n := h.Number("SELECT count(*) FROM shop.wallets"); n != 0 {
			t.Errorf("%d wallets", n)
		}
		if _, err := orders.Checkout.Instance(h.Client, id).State(h.Ctx); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestImpossibleOrders(t *testing.T) {
	h := setup(t)
	h.Worker(orders.Handlers(newVan())...)
	good := orders.Order{Customer: "Ada", Items: []orders.Item{lamp}, ApproveWithin: time.Hour}
	for name, spoil := range map[string]func(*orders.Order){
		"no customer":                           func(o *orders.Order) { o.Customer = "" },
		"no items":                              func(o *orders.Order) { o.Items = nil },
		"no time to approve it":                 func(o *orders.Order) { o.ApproveWithin = 0 },
		"the price of a gift is not positive":   func(o *orders.Order) { o.Items = []orders.Item{{Name: "a gift"}} },
		"the price of a refund is not positive": func(o *orders.Order) { o.Items = []orders.Item{lamp, {Name: "a refund", Price: -1}} },
	} {
		o := good
		spoil(&o)
		inst, err := orders.Checkout.Start(h.Ctx, h.Client, o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = inst.Wait(h.Ctx)
		want := fmt.Sprintf("instance %s failed: invalid_order: %s", inst.ID(), name)
		if !errors.Is(err, orders.ErrInvalid) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestChargedOnceWhenTheWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	t.Run("BetweenChargeAndShipping", func(t *testing.T) {
		h, v := setup(t), newVan()
		v.gone = make(chan struct{})
		stop := h.Worker(orders.Handlers(v)...)
		inst := place(t, h, orders.Order{Items: []orders.Item{lamp, table}})
		harness.Raise(h, orders.Decided, id, yes)
		<-v.asked // so it is paid for
		stop()
		close(v.gone)
		h.Worker(orders.Handlers(v)...)
		if _, err := inst.Wait(h.Ctx); err != nil {
			t.Fatal(err)
		}
		books(t, h, 1, lamp.Price+table.Price, 0)
	})
	t.Run("InTheMiddleOfTheCharge", func(t *testing.T) {
		h, v := setup(t), newVan()
		stop := h.Worker(orders.Handlers(v)...)
		inst := place(t, h, orders.Order{Items: []orders.Item{lamp}})
		at(t, h, inst, orders.WaitingForApproval)
		// Somebody else holds Ada's wallet, so that the charge has begun and cannot end.
		tx, err := h.Pool.Begin(h.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(h.Ctx)) }()
		if _, err := tx.Exec(h.Ctx, "SELECT 1 FROM shop.wallets WHERE customer = 'Ada' FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		harness.Raise(h, orders.Decided, id, yes)
		h.Until("the charge waits for the wallet", `
			SELECT count(*) > 0 FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%UPDATE shop.wallets%' AND pid <> pg_backend_pid()`)
		stop()
		if err := tx.Commit(h.Ctx); err != nil {
			t.Fatal(err)
		}
		books(t, h, 0, 0, lamp.Price)
		h.Worker(orders.Handlers(v)...)
		if _, err := inst.Wait(h.Ctx); err != nil {
			t.Fatal(err)
		}
		books(t, h, 1, lamp.Price, 0)
	})
	t.Run("WhileItIsUndone", func(t *testing.T) {
		h, v := setup(t), newVan()
		v.back = make(chan struct{})
		stop := h.Worker(orders.Handlers(v)...)
		inst := place(t, h, orders.Order{Items: []orders.Item{piano, lamp}})
		harness.Raise(h, orders.Decided, id, yes)
		<-v.called // so the payment is about to go back
		stop()
		close(v.back)
		h.Worker(orders.Handlers(v)...)
		if _, err := inst.Wait(h.Ctx); !errors.Is(err, orders.ErrUndeliverable) {
			t.Fatalf("got %v", err)
		}
		books(t, h, 2, 0, lamp.Price+piano.Price)
		if !slices.Equal(v.shipped, v.recalled) {
			t.Errorf("shipped %v, recalled %v", v.shipped, v.recalled)
		}
	})
}
