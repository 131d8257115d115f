// Package orders sells things: an order is approved by a clerk or expires, is paid for in the shop's own tables,
// and is shipped parcel by parcel. If a parcel cannot be shipped, what was done is undone.
package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
)

// The shop's vocabulary. Whoever starts, calls, raises or serves one of these uses the constant.
const (
	Checkout durable.Orchestration[Order, Receipt]     = "checkout"
	Clerk    durable.Orchestration[Case, durable.None] = "clerk"

	Charge durable.Activity[Payment, durable.None] = "charge"
	Refund durable.Activity[Payment, durable.None] = "refund"
	Ship   durable.Activity[Parcel, string]        = "ship"   // answers with the tracking number
	Recall durable.Activity[string, durable.None]  = "recall" // takes a tracking number back

	Decided durable.Event[Decision] = "decided"
)

// How an order can fail. The identity survives the way from an activity to the one who waits for the order.
const (
	ErrInvalid       durable.Failure = "invalid_order"
	ErrExpired       durable.Failure = "approval_expired"
	ErrRejected      durable.Failure = "rejected"
	ErrNoFunds       durable.Failure = "insufficient_funds"
	ErrUndeliverable durable.Failure = "undeliverable"
)

// Cents is an amount of money.
type Cents int64

// String implements fmt.Stringer.
func (c Cents) String() string { return fmt.Sprintf("%d.%02d EUR", c/100, c%100) }

// Order is what a customer wants. Its id is the instance's.
type Order struct {
	Customer string `json:"customer"`
	Items    []Item `json:"items"`
	// ApproveWithin is how long the order waits for a clerk.
	ApproveWithin time.Duration `json:"approveWithin"`
}

// Item is one parcel's content.
type Item struct {
	Name  string `json:"name"`
	Grams int    `json:"grams"`
	Price Cents  `json:"price"`
}

// Total is what the order costs.
func (o Order) Total() Cents {
	var sum Cents
	for _, i := range o.Items {
		sum += i.Price
	}
	return sum
}

// check finds what makes an order impossible.
func (o Order) check() error {
	switch {
	case o.Customer == "":
		return fmt.Errorf("%w: no customer", ErrInvalid)
	case len(o.Items) == 0:
		return fmt.Errorf("%w: no items", ErrInvalid)
	case o.ApproveWithin <= 0:
		return fmt.Errorf("%w: no time to approve it", ErrInvalid)
	}
	for _, i := range o.Items {
		if i.Price <= 0 {
			return fmt.Errorf("%w: the price of %s is not positive", ErrInvalid, i.Name)
		}
	}
	return nil
}

// Decision is a clerk's word on an order.
type Decision struct {
	By       string `json:"by"`
	Approved bool   `json:"approved"`
	Reason   string `json:"reason,omitempty"`
}

// Payment is money that moves between a customer and the shop for an order.
type Payment struct {
	Order    string `json:"order"`
	Customer string `json:"customer"`
	Amount   Cents  `json:"amount"`
}

// Parcel is one item on its way.
type Parcel struct {
	Order string `json:"order"`
	Item  Item   `json:"item"`
}

// Receipt is what the customer gets in the end.
type Receipt struct {
	Paid       Cents    `json:"paid"`
	ApprovedBy string   `json:"approvedBy"`
	Tracking   []string `json:"tracking"`
}

// Status is an order's custom status: what it is at.
type Status struct {
	Stage string     `json:"stage"`
	Total Cents      `json:"total"`
	Until *time.Time `json:"until,omitempty"`
}

// The stages of an order.
const (
	WaitingForApproval = "waiting for approval"
	Charging           = "charging"
	Shipping           = "shipping"
	Undoing            = "undoing"
	Refunded           = "refunded"
	Shipped            = "shipped"
)

// parcelsAtOnce is how many parcels of one order the courier is given at the same time.
const parcelsAtOnce = 3

func checkout(ctx *durable.Context, o Order) (Receipt, error) {
	if err := o.check(); err != nil {
		return Receipt{}, err
	}
	status := Status{Stage: WaitingForApproval, Total: o.Total()}
	until := ctx.Now().Add(o.ApproveWithin)
	ctx.SetStatus(Status{status.Stage, status.Total, &until})
	decided, expired := Decided.Next(ctx), ctx.TimerAt(until)
	if durable.First(decided, expired) == durable.Awaitable(expired) {
		return Receipt{}, fmt.Errorf("nobody decided within %s: %w", o.ApproveWithin, ErrExpired)
	}
	decision, err := decided.Await()
	if err != nil {
		return Receipt{}, err
	}
	if !decision.Approved {
		return Receipt{}, fmt.Errorf("%w by %s: %s", ErrRejected, decision.By, decision.Reason)
	}

	status.Stage = Charging
	ctx.SetStatus(status)
	payment := Payment{Order: ctx.ID(), Customer: o.Customer, Amount: o.Total()}
	if _, err := Charge.Call(ctx, payment); err != nil {
		return Receipt{}, err
	}

	status.Stage = Shipping
	ctx.SetStatus(status)
	parcels := make([]Parcel, len(o.Items))
	for i, item := range o.Items {
		parcels[i] = Parcel{ctx.ID(), item}
	}
	tracking, err := Ship.Map(ctx, parcels, durable.Limit(parcelsAtOnce))
	if err != nil {
		status.Stage = Undoing
		ctx.SetStatus(status)
		if undone := undo(ctx, payment, tracking); undone != nil {
			return Receipt{}, errors.Join(err, undone)
		}
		status.Stage = Refunded
		ctx.SetStatus(status)
		return Receipt{}, err
	}
	status.Stage = Shipped
	ctx.SetStatus(status)
	return Receipt{payment.Amount, decision.By, tracking}, nil
}

// undo takes back, in reverse, what was done before a parcel failed: the parcels that are on their way, then the
// payment. It does not give up on the first trouble.
func undo(ctx *durable.Context, p Payment, tracking []string) error {
	var shipped []string
	for _, t := range tracking {
		if t != "" {
			shipped = append(shipped, t)
		}
	}
	_, recalled := Recall.Map(ctx, shipped, durable.Limit(parcelsAtOnce))
	_, refunded := Refund.Call(ctx, p)
	return errors.Join(recalled, refunded)
}

// Case is an order on a clerk's desk.
type Case struct {
	Order    string        `json:"order"`
	Decision Decision      `json:"decision"`
	After    time.Duration `json:"after"`
}

// clerk stands for a person in demos: it thinks for a while and then decides, even if everything was restarted
// meanwhile.
func clerk(ctx *durable.Context, c Case) (durable.None, error) {
	if err := ctx.Sleep(c.After); err != nil {
		return durable.None{}, err
	}
	return durable.None{}, Decided.Send(ctx, c.Order, c.Decision)
}

// Courier books and recalls parcels with whoever carries them.
type Courier interface {
	// Ship books a parcel and returns its tracking number. The error wraps ErrUndeliverable if no attempt will do.
	Ship(ctx context.Context, p Parcel) (string, error)
	// Recall takes a parcel back.
	Recall(ctx context.Context, tracking string) error
}

// Handlers binds the shop's vocabulary to what does the work.
func Handlers(c Courier) []durable.Handler {
	patient := durable.Retry{Attempts: 5, Initial: time.Second, Factor: 2}
	persistent := durable.Retry{Attempts: 20, Initial: time.Second, Factor: 2, Max: time.Minute}
	return []durable.Handler{
		Checkout.Handler(checkout),
		Clerk.Handler(clerk),
		Charge.TxHandler(charge, patient),
		Refund.TxHandler(refund, persistent),
		Ship.Handler(c.Ship, patient, durable.Timeout(30*time.Second)),
		Recall.Handler(func(ctx context.Context, tracking string) (durable.None, error) {
			return durable.None{}, c.Recall(ctx, tracking)
		}, persistent),
	}
}

// Place takes a customer's order: the money the customer pays in, and the start of the checkout, commit together.
// extra starts or writes what else belongs to it; nil if nothing does.
func Place(ctx context.Context, pool *pgxpool.Pool, c *durable.Client, id string, o Order, paysIn Cents, extra func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := Deposit(ctx, tx, o.Customer, paysIn); err != nil {
			return err
		}
		if _, err := Checkout.StartTx(ctx, c, tx, o, durable.ID(id)); err != nil {
			return err
		}
		if extra == nil {
			return nil
		}
		return extra(tx)
	})
	if err != nil {
		return fmt.Errorf("place order %s: %w", id, err)
	}
	return nil
}
