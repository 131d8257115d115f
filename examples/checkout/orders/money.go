package orders

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
)

// The shop's own tables. Weir knows nothing of them.
const tables = `
CREATE SCHEMA IF NOT EXISTS shop;

CREATE TABLE IF NOT EXISTS shop.wallets (
	customer text PRIMARY KEY,
	cents bigint NOT NULL CHECK (cents >= 0)
);

-- A charge is a positive amount, a refund a negative one.
CREATE TABLE IF NOT EXISTS shop.charges (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id text NOT NULL,
	customer text NOT NULL,
	cents bigint NOT NULL,
	at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS charges_order ON shop.charges (order_id);

CREATE SEQUENCE IF NOT EXISTS shop.order_numbers START 1001;`

// tablesLock lets one process at a time make the tables: IF NOT EXISTS alone does not.
const tablesLock = 0x73686f70

// CreateTables makes the shop's tables unless they exist.
func CreateTables(ctx context.Context, pool *pgxpool.Pool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(tablesLock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, tables)
		return err
	})
	if err != nil {
		return fmt.Errorf("create the shop's tables: %w", err)
	}
	return nil
}

// NextNumber draws the number of a new order, the first being 1001.
func NextNumber(ctx context.Context, pool *pgxpool.Pool) (n int64, err error) {
	if err := pool.QueryRow(ctx, "SELECT nextval('shop.order_numbers')").Scan(&n); err != nil {
		return 0, fmt.Errorf("draw an order number: %w", err)
	}
	return n, nil
}

// Deposit pays into a customer's wallet.
func Deposit(ctx context.Context, tx pgx.Tx, customer string, amount Cents) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO shop.wallets (customer, cents)
		VALUES ($1, $2)
		ON CONFLICT (customer) DO UPDATE SET cents = wallets.cents + excluded.cents`, customer, amount)
	if err != nil {
		return fmt.Errorf("pay in: %w", err)
	}
	return nil
}

// charge moves money from the wallet to the shop. It runs in the transaction that also records its result, so it
// happens once, or not at all, whatever dies in between; it needs no idempotency key.
func charge(ctx context.Context, tx pgx.Tx, p Payment) (durable.None, error) {
	tag, err := tx.Exec(ctx, `
		UPDATE shop.wallets
		SET cents = cents - $2
		WHERE customer = $1 AND cents >= $2`, p.Customer, p.Amount)
	if err != nil {
		return durable.None{}, fmt.Errorf("charge order %s: %w", p.Order, err)
	}
	if tag.RowsAffected() == 0 {
		return durable.None{}, fmt.Errorf("%s does not have %s: %w", p.Customer, p.Amount, ErrNoFunds)
	}
	return durable.None{}, book(ctx, tx, p, p.Amount)
}

// refund gives the money back.
func refund(ctx context.Context, tx pgx.Tx, p Payment) (durable.None, error) {
	if err := Deposit(ctx, tx, p.Customer, p.Amount); err != nil {
		return durable.None{}, err
	}
	return durable.None{}, book(ctx, tx, p, -p.Amount)
}

func book(ctx context.Context, tx pgx.Tx, p Payment, amount Cents) error {
	_, err := tx.Exec(ctx, "INSERT INTO shop.charges (order_id, customer, cents) VALUES ($1, $2, $3)", p.Order, p.Customer, amount)
	if err != nil {
		return fmt.Errorf("book order %s: %w", p.Order, err)
	}
	return nil
}
